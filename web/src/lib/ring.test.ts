import { expect, test } from 'vitest';
import { Filtered, Ring } from './ring';

const all = <T>(ring: Ring<T>) => ring.slice(0, ring.length);

test('a ring keeps the newest', () => {
  const ring = new Ring<number>(3);
  const gone = [1, 2, 3, 4, 5, 6, 7, 8].map((value) => ring.push(value));
  expect(all(ring)).toEqual([6, 7, 8]);
  expect(gone).toEqual([undefined, undefined, undefined, 1, 2, 3, 4, 5]);
  expect(ring.at(0)).toBe(6);
  expect(ring.at(3)).toBeUndefined();
  expect(ring.at(-1)).toBeUndefined();
  expect(ring.slice(-5, 2)).toEqual([6, 7]);
});

test('the selection holds what matches among the kept ones, whatever came before', () => {
  const view = new Filtered<{ value: number }>(100);
  const isEven = (one: { value: number }) => one.value % 2 === 0;
  view.filter(isEven);
  for (let turn = 0; turn < 50; turn += 1) {
    view.push(Array.from({ length: 17 }, (_, index) => ({ value: turn * 17 + index })));
    expect(all(view.shown)).toEqual(all(view.all).filter(isEven));
  }
  expect(view.all.length).toBe(100);
  view.filter((one) => one.value % 7 === 0);
  expect(all(view.shown).every((one) => one.value % 7 === 0)).toBe(true);
  view.push(Array.from({ length: 200 }, () => ({ value: 1 })));
  expect(view.shown.length).toBe(0);
  view.clear();
  expect(view.all.length).toBe(0);
});
