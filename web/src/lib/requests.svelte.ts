import { withQuery } from './api';
import { type Call, Calls } from './calls';
import { OUTSIDE } from './graph';
import { Filtered } from './ring';
import { watch } from './stream';
import type { FinishedRequest } from './types';

/** Requests that are kept in the page; older ones are in `access.log`. */
const REQUESTS_MAX = 5000;

export interface Seen extends FinishedRequest {
  id: number;
}

/** What a route did since the page was opened. */
export interface RouteSeen {
  route: string;
  service: string;
  count: number;
  errors: number;
  slowestMs: number;
}

/** Requests as they end. The page is told at most once a frame, as for log lines. */
export class RequestView {
  readonly #kept = new Filtered<Seen>(REQUESTS_MAX);
  #waiting: Seen[] = [];
  #lastId = 0;
  #isFrameAsked = false;
  readonly #routes = new Map<string, RouteSeen>();
  readonly #calls = new Calls();
  version = $state(0);
  isPaused = $state(false);
  /** Requests that the node did not tell because they came too fast. */
  dropped = $state(0);

  /** Begins with so many of those that the node has kept. */
  open(tail: number): () => void {
    const take = ({ requests, dropped }: { requests: FinishedRequest[]; dropped: number }) => {
      for (const one of requests) {
        this.#lastId += 1;
        this.#waiting.push({ ...one, id: this.#lastId });
      }
      this.#waiting = this.#waiting.slice(-REQUESTS_MAX);
      this.dropped += dropped;
      this.#draw();
    };
    let wanted = tail;
    const path = () => {
      const now = wanted;
      // Those from before are there already when the page is seen again.
      wanted = 0;
      return withQuery('/v1/requests', { follow: true, tail: now });
    };
    return watch(path, 'requests', take);
  }

  /** The newest first. */
  newest(max: number): Seen[] {
    void this.version;
    const { shown } = this.#kept;
    return shown.slice(shown.length - max, shown.length).reverse();
  }

  routes(): RouteSeen[] {
    void this.version;
    return [...this.#routes.values()].sort((a, b) => b.count - a.count);
  }

  calls(nowMs: number): Call[] {
    void this.version;
    return this.#calls.list(nowMs);
  }

  filter(matches: (one: Seen) => boolean): void {
    this.#kept.filter(matches);
    this.version += 1;
  }

  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    this.#draw();
  }

  #draw(): void {
    if (this.#isFrameAsked) return;
    this.#isFrameAsked = true;
    requestAnimationFrame(() => {
      this.#isFrameAsked = false;
      if (this.isPaused) return;
      this.#kept.push(this.#waiting);
      for (const one of this.#waiting) this.#count(one);
      this.#waiting = [];
      this.version += 1;
    });
  }

  #count(one: FinishedRequest): void {
    if (one.service !== null) this.#calls.add(one.caller ?? OUTSIDE, one.service, isError(one), Date.parse(one.at));
    if (one.caller !== null) return;
    const route = one.route ?? '(no route)';
    const key = `${route} ${one.service ?? ''}`;
    const before = this.#routes.get(key) ?? { route, service: one.service ?? '', count: 0, errors: 0, slowestMs: 0 };
    this.#routes.set(key, {
      ...before,
      count: before.count + 1,
      errors: before.errors + (isError(one) ? 1 : 0),
      slowestMs: Math.max(before.slowestMs, one.duration_ms),
    });
  }
}

export function isError(one: FinishedRequest): boolean {
  return one.status === null || one.status >= 500;
}
