import { expect, test } from 'vitest';
import { link, PAGES, parse } from './routes';

test('an address leads back to what it was made of', () => {
  for (const arg of ['users', 'a/b?c=d#e', 'ü %', "'"]) {
    expect(parse(link('service', arg))).toEqual({ page: 'service', arg, query: {} });
  }
  expect(parse(link('logs', '', { text: 'a&b=c', level: '' }))).toEqual({ page: 'logs', arg: '', query: { text: 'a&b=c' } });
});

test.each(['', '#', '#/', '#/nowhere', '#/service', '#/../x', '%%%'])('%j leads to the first page', (hash) => {
  expect(parse(hash).page).toBe('overview');
});

test('what is no escape is taken as it is', () => {
  expect(parse('#/topic/100%').arg).toBe('100%');
});

test('each page has a key of its own', () => {
  expect(new Set(PAGES.map((page) => page.key)).size).toBe(PAGES.length);
});
