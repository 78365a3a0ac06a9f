import { expect, test } from 'vitest';
import * as format from './format';

test('numbers are short, and never claim more than is known', () => {
  expect([0, 0.04, 1.25, 12.4, 4321].map(format.rate)).toEqual(['0/s', '<0.1/s', '1.3/s', '12/s', '4,321/s']);
  expect([0.5, 12.4, 999.7, 1500, 90_000, 7_200_000, 604_800_000].map(format.ms)).toEqual([
    '0.5 ms', '12 ms', '1000 ms', '1.5 s', '2 min', '2 h', '7 d',
  ]);
  expect([0, 1023, 1024, 1_572_864, 200 * 1024 ** 3].map(format.bytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '200 GiB']);
  expect(format.share(0, 0)).toBe('–');
  expect(format.share(1, 1000)).toBe('0.1 %');
  expect(format.share(1, 2)).toBe('50 %');
});

test('times are told from now', () => {
  const now = Date.parse('2026-01-01T00:01:00Z');
  expect(format.ago('2026-01-01T00:00:59.500Z', now)).toBe('just now');
  expect(format.ago('2026-01-01T00:00:30Z', now)).toBe('30 s ago');
  expect(format.ago('2026-01-01T00:02:00Z', now)).toBe('in 1 min');
  expect(format.ago('never', now)).toBe('never');
});

test('words of a shell line are quoted when they need to be', () => {
  expect(format.shell('users/1')).toBe('users/1');
  expect(format.shell('')).toBe("''");
  expect(format.shell("it's $HOME")).toBe(String.raw`'it'\''s $HOME'`);
});

test('content is shown in whichever form it came', () => {
  expect(format.content({ data: { a: 1 } })).toBe('{\n  "a": 1\n}');
  expect(format.content({ value: 0 })).toBe('0');
  expect(format.content({ data: null, text: 'x' })).toBe('x');
  expect(format.content({ base64: 'AA==' })).toBe('base64: AA==');
  expect(format.content({})).toBe('');
});
