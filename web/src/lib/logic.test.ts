import { expect, test } from 'vitest';
import { at, withQuery } from './api';
import { Calls } from './calls';
import { graphOf, OUTSIDE } from './graph';
import { content, redrive } from './messaging';
import { problemsOf } from './problems';
import { pathOf } from './states';
import type { Instance, Service, Status, Traffic } from './types';

const service = (name: string, more: Partial<Service> = {}): Service => ({
  name, kind: 'service', schedule: null, language: 'node', state: 'ready', reason: '', desired: 1, ready: 1, waited_ms: null,
  waiting_for: [], next_run: null, problem: null, instances: [], ...more,
});
const status = (...services: Service[]): Status => ({ revision: 1, system: 'shop', phase: 'ready', services });

test('paths and queries are escaped', () => {
  const name = '../a b';
  expect(at`/v1/services/${name}/restart`).toBe('/v1/services/..%2Fa%20b/restart');
  expect(withQuery('/v1/logs', { service: ['a', 'b&c'], text: '', follow: true, tail: 0, no: false, none: null })).toBe(
    '/v1/logs?service=a&service=b%26c&follow=true&tail=0',
  );
});

test('the map has all needs, and all calls that were seen', () => {
  const listener = (name: string) => ({ name, address: '', connections: 0, requests: 0 });
  const traffic: Traffic = {
    at: '', window_ms: 1, services: [],
    listeners: ['gateway', 'orders -> users on 127.0.0.1', 'orders -> items', 'gone -> users', 'flotilla -> users on ::1'].map(listener),
  };
  const calls = new Calls();
  for (let turn = 0; turn < 20; turn += 1) calls.add('orders', 'users', turn < 5, 1_000_000);
  calls.add(OUTSIDE, 'orders', false, 1_000_000);
  calls.add(OUTSIDE, 'gone', false, 1_000_000);
  const graph = graphOf(status(service('users'), service('orders'), service('items')), traffic, calls.list(1_009_000));
  expect(graph.nodes).toEqual([OUTSIDE, 'users', 'orders', 'items']);
  expect(graph.edges).toEqual([
    { from: OUTSIDE, to: 'orders', count: 1, rate: 0.1, errors: 0 },
    { from: 'orders', to: 'items', count: 0, rate: 0, errors: 0 },
    { from: 'orders', to: 'users', count: 20, rate: 2, errors: 5 },
  ]);
  expect(calls.list(1_010_000).map((one) => one.rate)).toEqual([0, 0, 0]);
  expect(graphOf(null, null, [])).toEqual({ nodes: [], edges: [] });
});

test('problems name what is wrong once', () => {
  const instance = { id: 'users/1', state: 'crash_loop', message: 'exit code 3', last_exit: null } as Instance;
  const problem = { code: 'F013', severity: 'error' as const, message: 'it ended', notes: [], help: null, rendered: 'error[F013]' };
  expect(problemsOf(status(service('users', { instances: [instance] })), null).map((one) => one.message)).toEqual(['exit code 3']);
  expect(problemsOf(status(service('users', { instances: [instance], problem })), null).map((one) => one.message)).toEqual(['it ended']);
  expect(problemsOf(null, null)).toEqual([]);
});

test('the drawn way of a transaction ends as it does', () => {
  expect(pathOf('saga', false)).toEqual(['trying', 'committing', 'committed']);
  expect(pathOf('3pc', false)).toEqual(['trying', 'precommitting', 'committing', 'committed']);
  expect(pathOf('3pc', true)).toEqual(['trying', 'aborting', 'aborted']);
});

test('what is published is JSON when it can be read as that', () => {
  expect(content('{"a":1}')).toEqual({ data: { a: 1 } });
  expect(content('hello')).toEqual({ text: 'hello' });
});

test('the line of an action names exactly what the action does', () => {
  expect(redrive('a b', [3, 5], 9).cli({})).toBe("flotilla topics dlq redrive 'a b' --offset 3 --offset 5");
  expect(redrive('orders', [], 9).cli({})).toBe('flotilla topics dlq redrive orders');
});
