import type { Action } from './actions.svelte';
import { at, send } from './api';
import { shell } from './format';

/** What can be done with topics and jobs. */
export function publish(topic: string): Action {
  return {
    title: `Publish to ${topic}`,
    fields: [
      { name: 'data', label: 'Data', kind: 'area', value: '{}', hint: 'JSON; what is not JSON is published as text.' },
      { name: 'key', label: 'Key', value: '', isOptional: true, hint: 'Messages with the same key keep their order.' },
    ],
    cli: ({ data, key }) => `flotilla topics publish ${shell(topic)} ${shell(data ?? '')}${key ? ` --key ${shell(key)}` : ''}`,
    run: ({ data, key }) => send('POST', at`/v1/topics/${topic}/messages`, { ...content(data ?? ''), ...(key ? { key } : {}) }),
    done: (answer) => {
      const offset = (answer as { offset?: number } | null)?.offset;
      return offset === undefined ? 'Published' : `Published, offset ${offset}`;
    },
  };
}

export function content(text: string): { data: unknown } | { text: string } {
  try {
    return { data: JSON.parse(text) as unknown };
  } catch {
    return { text };
  }
}

/** Brings dead letters back: these, or all of them. */
export function redrive(topic: string, offsets: number[], many: number): Action {
  const which = offsets.map((offset) => ` --offset ${offset}`).join('');
  return {
    title: offsets.length > 0 ? `Redrive ${offsets.join(', ')}` : `Redrive all ${many}`,
    danger: 'They are published again for the group that gave them up, and tried as if they were new.',
    cli: () => `flotilla topics dlq redrive ${shell(topic)}${which}`,
    run: () => send('POST', at`/v1/topics/${topic}/dead/redrive`, offsets.length > 0 ? { offsets } : {}),
    done: (answer) => `${(answer as { redriven: number }).redriven} brought back`,
  };
}

export function seek(topic: string, group: string): Action {
  return {
    title: `Move ${group}`,
    danger: 'The group goes on from there: messages may be delivered again, or never.',
    fields: [{ name: 'to', label: 'To', value: 'beginning', hint: 'beginning, end, an offset, a time (RFC 3339), or how long ago (-15m)' }],
    cli: ({ to }) => `flotilla topics seek ${shell(topic)} ${shell(group)} --to ${shell(to ?? '')}`,
    run: ({ to }) => send('POST', at`/v1/topics/${topic}/groups/${group}/seek`, { to }),
    done: `${group} goes on from there`,
  };
}

export function purge(topic: string): Action {
  return {
    title: `Purge ${topic}`,
    danger: 'All messages that are in the topic are removed for good, also those that nobody has had yet.',
    cli: () => `flotilla topics purge ${shell(topic)}`,
    run: () => send('POST', at`/v1/topics/${topic}/purge`, {}),
    done: (answer) => `${(answer as { removed: number }).removed} messages removed`,
  };
}

export function runJob(owner: string, name: string): Action {
  return {
    title: `Run ${name}`,
    cli: () => `flotilla jobs run ${shell(owner === 'file' ? name : `${owner}/${name}`)}`,
    run: () => send('POST', at`/v1/jobs/${owner}/${name}/run`),
    done: `${name} runs`,
  };
}
