import { ask } from './api';
import { type Connection, watch } from './stream';
import type { Status, System, Traffic } from './types';

/**
 * How often what has no stream is asked for. Here and nowhere else, so that the load of an open dashboard is known: at
 * most four small requests in two seconds, none while the page is not visible.
 */
export const EVERY_MS = { traffic: 2000, page: 2000, slow: 10_000 };

/** How many values the small charts remember: two minutes at one in two seconds. */
const HISTORY_LEN = 60;

export interface Sample {
  rate: number;
  errors: number;
  p95: number;
}

class Live {
  status = $state.raw<Status | null>(null);
  system = $state.raw<System | null>(null);
  traffic = $state.raw<Traffic | null>(null);
  /** Recent traffic by service, oldest first. */
  history = $state.raw<Record<string, Sample[]>>({});
  connection = $state<Connection>('connecting');
  now = $state(Date.now());

  start(): void {
    const tell = (connection: Connection) => {
      this.connection = connection;
      // After a loss the node may be another one: its version and notes are read again.
      if (connection === 'live') void this.#readSystem().catch(() => {});
    };
    watch<Status>(() => '/v1/status', 'status', (status) => (this.status = status), tell);
    repeat(() => this.#readTraffic(), EVERY_MS.traffic);
    repeat(() => this.#readSystem(), EVERY_MS.slow);
    setInterval(() => {
      this.now = Date.now();
    }, 1000);
  }

  service(name: string) {
    return this.status?.services.find((one) => one.name === name);
  }

  counts(name: string) {
    return this.traffic?.services.find((one) => one.service === name)?.total;
  }

  async #readSystem(): Promise<void> {
    this.system = await ask<System>('/v1/system');
  }

  async #readTraffic(): Promise<void> {
    const traffic = await ask<Traffic>('/v1/traffic');
    const history: Record<string, Sample[]> = {};
    for (const { service, total } of traffic.services) {
      const sample = { rate: total.requests_per_second, errors: total.errors_per_second, p95: total.latency?.p95_ms ?? 0 };
      history[service] = [...(this.history[service] ?? []), sample].slice(-HISTORY_LEN);
    }
    this.history = history;
    this.traffic = traffic;
  }
}

/** Does something now and again and again; not while nobody looks, and never twice at once. Returns how to end it. */
export function repeat(what: () => Promise<void>, everyMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isEnded = false;
  const turn = async () => {
    try {
      if (!document.hidden) await what();
    } catch {
      // The connection's state is shown by the stream; the next turn may succeed.
    }
    if (!isEnded) timer = setTimeout(() => void turn(), everyMs);
  };
  void turn();
  return () => {
    isEnded = true;
    clearTimeout(timer);
  };
}

export const live = new Live();
