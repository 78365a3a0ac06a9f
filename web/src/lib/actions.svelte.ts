import { ApiError } from './api';

/** Something to fill in before an action. */
export interface Field {
  name: string;
  label: string;
  value: string;
  kind?: 'text' | 'number' | 'area' | 'choice';
  choices?: string[];
  isOptional?: boolean;
  /** A flag of the command line or so, in a few words. */
  hint?: string;
}

type Values = Record<string, string>;

/** Something that the dashboard can do, and the command line that does the same. */
export interface Action {
  title: string;
  /** What it leads to, when that deserves a question first. */
  danger?: string;
  fields?: Field[];
  cli: (values: Values) => string;
  run: (values: Values) => Promise<unknown>;
  /** Said when it went well. */
  done: string | ((answer: unknown) => string);
  after?: () => unknown;
}

export interface Toast {
  id: number;
  kind: 'done' | 'failed';
  text: string;
  /** How to mend it, or the command line that does the same. */
  detail: string;
}

const TOASTS_MAX = 4;
const TOAST_MS = 8000;

class Actions {
  /** The action that waits for an answer of the user. */
  asked = $state.raw<Action | null>(null);
  toasts = $state.raw<Toast[]>([]);
  #lastId = 0;

  /** Does it, or asks first when it is dangerous or needs something filled in. */
  async start(action: Action): Promise<void> {
    if (action.danger !== undefined || action.fields) this.asked = action;
    else await this.perform(action, {});
  }

  async perform(action: Action, values: Values): Promise<boolean> {
    try {
      const answer = await action.run(values);
      this.say('done', typeof action.done === 'string' ? action.done : action.done(answer), action.cli(values));
      await action.after?.();
      return true;
    } catch (cause) {
      const help = cause instanceof ApiError ? cause.help : null;
      this.say('failed', `${action.title}: ${cause instanceof Error ? cause.message : String(cause)}`, help ?? '');
      return false;
    }
  }

  say(kind: Toast['kind'], text: string, detail: string): void {
    this.#lastId += 1;
    const id = this.#lastId;
    this.toasts = [...this.toasts, { id, kind, text, detail }].slice(-TOASTS_MAX);
    // What failed stays until it is read.
    if (kind === 'done') setTimeout(() => this.dismiss(id), TOAST_MS);
  }

  dismiss(id: number): void {
    this.toasts = this.toasts.filter((one) => one.id !== id);
  }
}

export const actions = new Actions();
