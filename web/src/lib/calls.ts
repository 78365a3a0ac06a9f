/** Over how long calls are counted, in seconds. */
const WINDOW_S = 10;

export interface Call {
  from: string;
  to: string;
  /** Since the page was opened. */
  count: number;
  /** A second, over the window. */
  rate: number;
  errors: number;
}

interface Counted {
  from: string;
  to: string;
  count: number;
  errors: number;
  /** Calls by second of the clock; old seconds are taken out as new ones come. */
  seconds: Map<number, number>;
}

/** Who has called whom, counted from requests as they end. */
export class Calls {
  readonly #counted = new Map<string, Counted>();

  add(from: string, to: string, isError: boolean, nowMs: number): void {
    const key = JSON.stringify([from, to]);
    const counted = this.#counted.get(key) ?? { from, to, count: 0, errors: 0, seconds: new Map<number, number>() };
    const second = Math.floor(nowMs / 1000);
    counted.count += 1;
    counted.errors += isError ? 1 : 0;
    counted.seconds.set(second, (counted.seconds.get(second) ?? 0) + 1);
    for (const old of counted.seconds.keys()) if (old <= second - WINDOW_S) counted.seconds.delete(old);
    this.#counted.set(key, counted);
  }

  list(nowMs: number): Call[] {
    const oldest = Math.floor(nowMs / 1000) - WINDOW_S;
    return [...this.#counted.values()].map(({ from, to, count, errors, seconds }) => {
      let recent = 0;
      for (const [second, calls] of seconds) if (second > oldest) recent += calls;
      return { from, to, count, errors, rate: recent / WINDOW_S };
    });
  }
}
