/** How good a state is. Pages show it as a shape and a word too, never as a colour alone. */
export type Tone = 'good' | 'busy' | 'bad' | 'idle' | 'warn';

const TONES: Record<string, Tone> = {
  ready: 'good', completed: 'good', committed: 'good', done: 'good', confirmed: 'good', resolved: 'good', live: 'good',
  starting: 'busy', started: 'busy', building: 'busy', updating: 'busy', waiting: 'busy', trying: 'busy', open: 'busy',
  precommitting: 'busy', committing: 'busy', connecting: 'busy', draining: 'busy', stopping: 'busy', running: 'busy',
  reserved: 'busy', prepared: 'busy', could: 'busy',
  degraded: 'warn', unready: 'warn', backoff: 'warn', aborting: 'warn', mixed: 'bad', warn: 'warn', warning: 'warn',
  failed: 'bad', crash_loop: 'bad', lost: 'bad', error: 'bad', refused: 'bad',
  aborted: 'warn', undone: 'warn', cancelled: 'warn', rolled_back: 'warn',
};

export function toneOf(state: string): Tone {
  return TONES[state] ?? 'idle';
}

/** Statuses a transaction passes, by its mode and how it ends. */
export function pathOf(mode: string, isAborted: boolean): string[] {
  const first = mode === 'msg' ? ['open'] : ['trying'];
  const middle = mode.startsWith('3pc') && !isAborted ? ['precommitting'] : [];
  return isAborted ? [...first, 'aborting', 'aborted'] : [...first, ...middle, 'committing', 'committed'];
}

export const ENDED = ['committed', 'aborted', 'mixed'];
