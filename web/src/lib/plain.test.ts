import { expect, test } from 'vitest';
import { clip, plain } from './plain';

test.each([
  ['plain words, <b>markup</b> and tabs\tstay', 'plain words, <b>markup</b> and tabs\tstay'],
  ['\u001b[1;31mred\u001b[0m', 'red'],
  ['\u001b]0;title\u0007after', 'after'],
  ['\u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\', 'link'],
  ['\u001b[2K\u001b[1Gover', 'over'],
  ['bell\u0007 and return\rthere', 'bell␇ and return␍there'],
  ['a\u202eb\u2066c', 'a\\u202eb\\u2066c'],
  ['c1\u009b31m', 'c1\\u009b31m'],
  ['cut \u001b[', 'cut ␛['],
  ['two\nlines', 'two\nlines'],
])('%j becomes %j', (given, expected) => {
  expect(plain(given)).toBe(expected);
});

test('a line of a megabyte of half escapes is no work without end', () => {
  expect(plain('\u001b'.repeat(1 << 20)).length).toBeGreaterThan(0);
});

test('what is left out of a long text is counted', () => {
  expect(clip('abc', 3)).toBe('abc');
  expect(clip('x'.repeat(2003), 3)).toBe('xxx … 2,000 more characters');
});
