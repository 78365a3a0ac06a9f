import type { Action } from './actions.svelte';
import { at, send } from './api';
import { shell } from './format';
import type { Transaction } from './types-data';

/** What an operator can do about a transaction. */
export function retry(tx: Transaction): Action {
  return {
    title: 'Retry at once',
    cli: () => `flotilla tx retry ${shell(tx.id)}`,
    run: () => send('POST', at`/v1/tx/${tx.id}/retry`),
    done: 'What waited is tried at once',
  };
}

export function abort(tx: Transaction): Action {
  return {
    title: 'Abort the transaction',
    danger: 'It is given up: what its steps have done is undone.',
    fields: [{ name: 'reason', label: 'Reason', value: '', isOptional: true, hint: 'Stands in the transaction.' }],
    cli: ({ reason }) => `flotilla tx abort ${shell(tx.id)}${reason ? ` --reason ${shell(reason)}` : ''}`,
    run: ({ reason }) => send('POST', at`/v1/tx/${tx.id}/abort`, reason ? { reason } : {}),
    done: 'The transaction is given up',
  };
}

const REASON = { name: 'reason', label: 'Reason', value: '', hint: 'Stands in the history of the transaction.' };

export function resolve(tx: Transaction): Action {
  return {
    title: 'Resolve the transaction',
    danger: 'Flotilla stops to try, and believes that everything was put right by hand. This cannot be taken back.',
    fields: [
      { name: 'outcome', label: 'How it was put right', kind: 'choice', value: 'committed', choices: ['committed', 'aborted', 'mixed'] },
      REASON,
    ],
    cli: ({ outcome, reason }) => `flotilla tx resolve ${shell(tx.id)} --outcome ${outcome ?? ''} --reason ${shell(reason ?? '')}`,
    run: ({ outcome, reason }) => send('POST', at`/v1/tx/${tx.id}/resolve`, { outcome, reason }),
    done: 'The transaction is resolved',
  };
}

export function resolveBranch(tx: Transaction, branch: string): Action {
  return {
    title: `Resolve ${branch}`,
    danger: 'The operation that does not end counts as done. This cannot be taken back.',
    fields: [REASON],
    cli: ({ reason }) => `flotilla tx resolve ${shell(tx.id)} --branch ${shell(branch)} --reason ${shell(reason ?? '')}`,
    run: ({ reason }) => send('POST', at`/v1/tx/${tx.id}/resolve`, { branch, reason }),
    done: `${branch} counts as done`,
  };
}
