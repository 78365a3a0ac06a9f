import type { Status, System } from './types';

/** Something that is not as it should be, and where to look. */
export interface Trouble {
  key: string;
  severity: 'warning' | 'error';
  what: string;
  message: string;
  /** As the command line shows it, with the place in the file. */
  rendered: string;
  help: string;
  /** The service it is about, if it is about one. */
  service: string;
}

export function problemsOf(status: Status | null, system: System | null): Trouble[] {
  const found: Trouble[] = [];
  for (const service of status?.services ?? []) {
    const base = { what: service.name, service: service.name };
    if (service.problem) {
      const { code, severity, message, rendered, help } = service.problem;
      found.push({ ...base, key: `${service.name} ${code}`, severity, message, rendered, help: help ?? '' });
    }
    for (const one of service.instances) {
      const isBad = ['crash_loop', 'failed', 'backoff', 'unready'].includes(one.state);
      if (!isBad || service.problem) continue;
      const message = one.message || one.last_exit || 'it is not well';
      const severity = one.state === 'unready' || one.state === 'backoff' ? 'warning' : 'error';
      found.push({ ...base, key: one.id, what: one.id, severity, message, rendered: '', help: '' });
    }
  }
  for (const note of system?.notes ?? []) {
    const { severity, message, rendered, help } = note;
    found.push({ key: note.code + message, severity, what: 'node', service: '', message, rendered, help: help ?? '' });
  }
  const lost = system?.logs.dropped_failed ?? 0;
  if (lost > 0) {
    const message = `${lost} log lines could not be written`;
    found.push({ key: 'logs', severity: 'error', what: 'node', service: '', message, rendered: '', help: 'Make room on the disk.' });
  }
  return found;
}
