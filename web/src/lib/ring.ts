/** Keeps the newest values up to a number. */
export class Ring<T> {
  readonly #max: number;
  #values: T[] = [];
  /** Where the oldest value is. What is before it is let go now and then, so that adding costs the same on average. */
  #head = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get length(): number {
    return this.#values.length - this.#head;
  }

  /** Adds a value; returns the oldest one when it had to go for it. */
  push(value: T): T | undefined {
    this.#values.push(value);
    return this.length > this.#max ? this.shift() : undefined;
  }

  /** Takes the oldest value out. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const oldest = this.#values[this.#head];
    this.#head += 1;
    if (this.#head > this.#max) {
      this.#values = this.#values.slice(this.#head);
      this.#head = 0;
    }
    return oldest;
  }

  /** The value at a place, counted from the oldest one. */
  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#values[this.#head + index];
  }

  slice(from: number, to: number): T[] {
    return this.#values.slice(this.#head + Math.max(0, from), this.#head + Math.max(0, to));
  }

  clear(): void {
    this.#values = [];
    this.#head = 0;
  }
}

/** A ring, and those of its values that match a test. */
export class Filtered<T> {
  readonly all: Ring<T>;
  readonly shown: Ring<T>;
  #matches: (value: T) => boolean = () => true;

  constructor(max: number) {
    this.all = new Ring(max);
    this.shown = new Ring(max);
  }

  push(values: readonly T[]): void {
    for (const value of values) {
      const gone = this.all.push(value);
      // What left the whole leaves the selection too, else a rare match would be shown for ever.
      if (gone !== undefined && this.shown.at(0) === gone) this.shown.shift();
      if (this.#matches(value)) this.shown.push(value);
    }
  }

  /** Changes the test and looks at all values again. */
  filter(matches: (value: T) => boolean): void {
    this.#matches = matches;
    this.shown.clear();
    for (const value of this.all.slice(0, this.all.length)) {
      if (matches(value)) this.shown.push(value);
    }
  }

  clear(): void {
    this.all.clear();
    this.shown.clear();
  }
}
