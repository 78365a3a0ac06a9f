import { withQuery } from './api';
import { plain } from './plain';
import { Filtered } from './ring';
import { type Connection, watch } from './stream';
import type { LogLine, Logs } from './types';

/** Lines that are kept in the page. At 5,000 a second that is the last ten seconds, and some 20 MB. */
export const LINES_MAX = 50_000;
/** Lines that are read at once when the page opens. */
const TAIL = 2000;

/** What the node filters; a change asks again. */
export interface Source {
  service: string[];
  instance: string;
  level: string;
}

/** A line as it is shown. */
export interface Row extends LogLine {
  shown: string;
  lower: string;
}

/** A row draws at most this much of a line; the rest is a click away. */
const SHOWN_CHARS_MAX = 2000;

/**
 * The lines of the log page. Batches are taken in as they come, but the page is told at most once a frame, so that the
 * work of drawing does not grow with the rate of lines. While it is paused what is drawn stays where it is.
 */
export class LogView {
  readonly #lines = new Filtered<Row>(LINES_MAX);
  #waiting: Row[] = [];
  #isFrameAsked = false;
  #text = '';
  /** Grows when what is to be drawn has changed. */
  version = $state(0);
  isPaused = $state(false);
  waiting = $state(0);
  /** Lines that came since the page was opened, for the rate. */
  received = $state(0);
  connection = $state<Connection>('connecting');
  notices = $state.raw<string[]>([]);

  get length(): number {
    void this.version;
    return this.#lines.shown.length;
  }

  get total(): number {
    void this.version;
    return this.#lines.all.length;
  }

  rows(from: number, to: number): Row[] {
    void this.version;
    return this.#lines.shown.slice(from, to);
  }

  open(source: Source): () => void {
    this.#lines.clear();
    this.#waiting = [];
    this.connection = 'connecting';
    let last = 0;
    const path = () => withQuery('/v1/logs', { ...source, follow: true, ...(last > 0 ? { after: last } : { tail: TAIL }) });
    const take = (logs: Logs) => {
      last = logs.lines.at(-1)?.seq ?? last;
      this.#take(logs);
    };
    this.#draw();
    return watch<Logs>(path, 'logs', take, (connection) => (this.connection = connection));
  }

  search(text: string): void {
    this.#text = text.toLowerCase();
    const wanted = this.#text;
    this.#lines.filter((row) => row.lower.includes(wanted));
    this.#draw();
  }

  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (!isPaused) this.#draw();
  }

  clear(): void {
    this.#lines.clear();
    this.#waiting = [];
    this.#draw();
  }

  #take(logs: Logs): void {
    for (const line of logs.lines) {
      const shown = plain(line.text.length > SHOWN_CHARS_MAX ? line.text.slice(0, SHOWN_CHARS_MAX) : line.text);
      this.#waiting.push({ ...line, shown, lower: `${line.instance} ${shown}`.toLowerCase() });
    }
    // A long pause keeps the newest lines, as the page would have done.
    if (this.#waiting.length > LINES_MAX) this.#waiting = this.#waiting.slice(-LINES_MAX);
    if (logs.notices.length > 0) this.notices = logs.notices.map((one) => one.message);
    this.#draw();
  }

  #draw(): void {
    if (this.#isFrameAsked) return;
    this.#isFrameAsked = true;
    requestAnimationFrame(() => {
      this.#isFrameAsked = false;
      if (!this.isPaused) {
        this.#lines.push(this.#waiting);
        this.received += this.#waiting.length;
        this.#waiting = [];
      }
      this.waiting = this.#waiting.length;
      this.version += 1;
    });
  }
}
