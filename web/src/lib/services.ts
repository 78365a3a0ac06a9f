import type { Action } from './actions.svelte';
import { at, send } from './api';
import { shell } from './format';
import type { Instance, Service } from './types';

/** What can be done to a service. */
export function restart(service: Service): Action {
  const isWhole = service.instances.length > 1;
  return {
    title: `Restart ${service.name}`,
    danger: isWhole
      ? 'Its instances are replaced one by one; requests go on.'
      : 'It has one instance: a new one is started, then the old one ends when its requests are done.',
    cli: () => `flotilla restart ${shell(service.name)}`,
    run: () => send('POST', at`/v1/services/${service.name}/restart`),
    done: `${service.name} restarts`,
  };
}

export function scale(service: Service): Action {
  return {
    title: `Scale ${service.name}`,
    fields: [
      { name: 'instances', label: 'Instances', kind: 'number', value: String(service.desired), hint: '0 stops all of them' },
    ],
    cli: (values) => `flotilla scale ${shell(service.name)}=${values['instances'] ?? ''}`,
    run: (values) => send('POST', at`/v1/services/${service.name}/scale`, { instances: Number(values['instances']) }),
    done: `${service.name} is scaled`,
  };
}

function setInstances(service: Service, instances: number): Pick<Action, 'cli' | 'run'> {
  return {
    cli: () => `flotilla scale ${shell(service.name)}=${instances}`,
    run: () => send('POST', at`/v1/services/${service.name}/scale`, { instances }),
  };
}

export function stop(service: Service): Action {
  return {
    title: `Stop ${service.name}`,
    danger: 'All its instances end; requests to it fail until it is started again.',
    ...setInstances(service, 0),
    done: `${service.name} stops`,
  };
}

export function start(service: Service): Action {
  return { title: `Start ${service.name}`, ...setInstances(service, 1), done: `${service.name} starts` };
}

export function restartInstance(instance: Instance): Action {
  return {
    title: `Restart ${instance.id}`,
    danger: 'The other instances take its requests while it is replaced.',
    cli: () => `flotilla restart ${shell(instance.id)}`,
    run: () => send('POST', at`/v1/instances/${instance.service}/${instance.number}/restart`),
    done: `${instance.id} restarts`,
  };
}

export function runJob(service: Service): Action {
  return {
    title: `Run ${service.name}`,
    cli: () => `flotilla run ${shell(service.name)}`,
    run: () => send('POST', '/v1/run', { service: service.name }),
    done: `${service.name} runs`,
  };
}
