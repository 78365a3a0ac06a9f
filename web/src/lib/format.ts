/** Numbers and times for people. All functions are pure; `now` is given. */

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function rate(perSecond: number): string {
  if (perSecond === 0) return '0/s';
  if (perSecond < 0.1) return '<0.1/s';
  return `${perSecond < 10 ? perSecond.toFixed(1) : count(perSecond)}/s`;
}

export function ms(value: number): string {
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(1)} s`;
  if (value < 3_600_000) return `${Math.round(value / 60_000)} min`;
  if (value < 48 * 3_600_000) return `${Math.round(value / 3_600_000)} h`;
  return `${Math.round(value / 86_400_000)} d`;
}

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit] ?? ''}`;
}

export function cores(value: number): string {
  return `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`;
}

/** Errors among requests; a dash where there was nothing to fail. */
export function share(errors: number, requests: number): string {
  if (requests === 0) return '–';
  const percent = (errors / requests) * 100;
  return `${percent > 0 && percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

export function ago(time: string, now: number): string {
  const passed = now - Date.parse(time);
  if (Number.isNaN(passed)) return time;
  if (passed < 0) return `in ${passed > -60_000 ? `${Math.round(-passed / 1000)} s` : ms(-passed)}`;
  if (passed < 2000) return 'just now';
  return `${passed < 60_000 ? `${Math.round(passed / 1000)} s` : ms(passed)} ago`;
}

/** Time of day with milliseconds, in the viewer's own zone. */
export function clock(time: string): string {
  const date = new Date(time);
  const pad = (value: number, digits = 2) => String(value).padStart(digits, '0');
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

export function words(name: string): string {
  return name.replaceAll('_', ' ');
}

/** A word of a shell line, quoted when it needs to be. */
export function shell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** JSON, text or base 64 as one text. */
export function content(from: { data?: unknown; value?: unknown; text?: string | null; base64?: string | null }): string {
  const json = from.data ?? from.value;
  if (json !== undefined && json !== null) return JSON.stringify(json, null, 2);
  if (typeof from.text === 'string') return from.text;
  if (typeof from.base64 === 'string') return `base64: ${from.base64}`;
  return '';
}
