import type { Action } from './actions.svelte';
import { at, send } from './api';
import { shell } from './format';
import type { Lock } from './types-data';

/** What can be done with stored data. */
export function setConfig(store: string, key: string, value: string, version: number): Action {
  const isNew = key === '';
  return {
    title: isNew ? 'Set a value' : `Set ${key}`,
    fields: [
      ...(isNew ? [{ name: 'key', label: 'Key', value: '' }] : []),
      { name: 'value', label: 'Value', kind: 'area' as const, value, isOptional: true },
    ],
    cli: (values) => `flotilla config set ${shell(isNew ? (values['key'] ?? '') : key)} ${shell(values['value'] ?? '')} --expect ${version} --store ${shell(store)}`,
    // Somebody else may have changed it while it was typed: then the node refuses.
    run: (values) => send('PUT', at`/v1/config/${store}/keys/${isNew ? (values['key'] ?? '') : key}`, { value: values['value'] ?? '', expected: version }),
    done: 'The value is set',
  };
}

export function rollbackConfig(store: string, key: string, to: number): Action {
  return {
    title: `Restore version ${to} of ${key}`,
    danger: 'The old value is set again as a new version, and services that watch it get it at once.',
    cli: () => `flotilla config rollback ${shell(key)} --to ${to} --store ${shell(store)}`,
    run: () => send('POST', at`/v1/config/${store}/keys/${key}/rollback`, { to }),
    done: `Version ${to} of ${key} is in force again`,
  };
}

export function deleteConfig(store: string, key: string): Action {
  return {
    title: `Delete ${key}`,
    danger: 'The value is in force no more. Its history stays.',
    cli: () => `flotilla config rm ${shell(key)} --store ${shell(store)}`,
    run: () => send('DELETE', at`/v1/config/${store}/keys/${key}`),
    done: `${key} is deleted`,
  };
}

export function releaseLock(store: string, lock: Lock): Action {
  return {
    title: `Release ${lock.resource}`,
    danger: `It is taken from ${lock.owner}, who learns it only when it renews and may still act until then.`,
    cli: () => `flotilla lock release ${shell(lock.resource)} --store ${shell(store)}`,
    run: () => send('POST', at`/v1/locks/${store}/${lock.resource}/release`, { owner: lock.owner, token: lock.token }),
    done: `${lock.resource} is free`,
  };
}

export function deleteState(store: string, key: string, etag: string): Action {
  return {
    title: `Delete ${key}`,
    danger: 'The value is gone for good.',
    cli: () => `flotilla state rm ${shell(key)} --etag ${shell(etag)} --store ${shell(store)}`,
    run: () => send('POST', at`/v1/state/${store}/transact`, { operations: [{ delete: { key, expect: { etag } } }] }),
    done: `${key} is deleted`,
  };
}
