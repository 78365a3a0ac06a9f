import { ApiError, ask } from './api';
import { EVERY_MS, repeat } from './live.svelte';

/** An answer of the node that is kept fresh while the component that made it is shown. */
export class Query<T> {
  value = $state.raw<T | null>(null);
  failure = $state.raw<ApiError | null>(null);
  readonly #path: () => string | null;

  /** `path` may depend on state: a change asks again. `null` asks for nothing. */
  constructor(path: () => string | null, everyMs: number = EVERY_MS.page) {
    this.#path = path;
    $effect(() => {
      const now = path();
      this.value = null;
      this.failure = null;
      return now === null ? undefined : repeat(() => this.#read(now), everyMs);
    });
  }

  /** Asks at once, after an action that changed something. */
  async refresh(): Promise<void> {
    const path = this.#path();
    if (path !== null) await this.#read(path);
  }

  async #read(path: string): Promise<void> {
    try {
      const value = await ask<T>(path);
      // An answer that is late belongs to what was looked at before.
      if (path !== this.#path()) return;
      this.value = value;
      this.failure = null;
    } catch (cause) {
      if (path === this.#path()) this.failure = cause instanceof ApiError ? cause : new ApiError(0, String(cause), null);
    }
  }
}
