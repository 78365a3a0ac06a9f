// Actions ask when they are dangerous, show the command line, and do what they say.
import { check, go, open, until } from '../browser.mjs';

const service = async (api, name) => api(`/v1/services/${name}`);

async function scaling({ page, api }) {
  await go(page, '#/overview', 'Overview');
  await page.getByRole('button', { name: 'Scale users' }).click();
  await page.getByLabel('Instances').fill('3');
  const line = await page.getByRole('dialog').locator('.cli').innerText();
  check(line.trim() === 'flotilla scale users=3', `the line is ${line}`);
  await page.getByRole('dialog').getByRole('button', { name: 'Scale' }).click();
  await page.getByText('users is scaled').waitFor();
  await until('three instances', async () => (await service(api, 'users')).ready === 3);
  await page.getByRole('row', { name: /^users/ }).getByText('3/3').waitFor();
}

async function restarting({ page, api }) {
  const pid = async () => (await service(api, 'items')).instances[0]?.pid;
  const before = await pid();
  await go(page, '#/service/items', 'items');
  const button = page.getByRole('button', { name: 'Restart', exact: true }).first();
  await button.click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  check((await pid()) === before, 'what was cancelled was done');
  await button.click();
  await page.getByText('flotilla restart items').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click();
  await until('another process', async () => {
    const now = await service(api, 'items');
    return now.ready === 1 && now.instances.every((one) => one.pid !== before);
  });
}

async function redriving({ page, api, gateway }) {
  await api('/v1/topics/order.created/messages', 'POST', { data: { order: 1 } });
  await until('a dead letter', async () => (await api('/v1/topics/order.created/dead')).letters.length > 0);
  await fetch(`${gateway}/items/heal`);
  await go(page, '#/topic/order.created', 'order.created');
  await page.getByRole('button', { name: 'Redrive all' }).click();
  await page.getByText('flotilla topics dlq redrive order.created').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Redrive' }).click();
  await page.getByText('brought back').waitFor();
  await until('it to be done', async () => {
    const { letters } = await api('/v1/topics/order.created/dead');
    const { subscriptions } = await api('/v1/topics/order.created');
    return letters.length === 0 && subscriptions.some((one) => one.done > 0);
  });
}

async function configuring({ page, api }) {
  const value = async () => (await api('/v1/config/configstore/keys/colour')).value;
  await go(page, '#/data?store=configstore', 'Data');
  await page.getByRole('button', { name: 'Set a new value' }).click();
  await page.getByLabel('Key', { exact: true }).fill('colour');
  await page.getByLabel('Value', { exact: true }).fill('red');
  await page.getByRole('dialog').getByRole('button', { name: 'Set' }).click();
  await page.getByRole('button', { name: 'Set colour' }).click();
  await page.getByLabel('Value', { exact: true }).fill('green');
  await page.getByRole('dialog').getByRole('button', { name: 'Set' }).click();
  await until('green', async () => (await value()) === 'green');
  await page.getByRole('button', { name: 'History of colour' }).click();
  await page.getByRole('button', { name: 'Compare version 1' }).click();
  await page.getByLabel('Difference').getByText('+green').waitFor();
  await page.getByRole('button', { name: 'Restore version 1' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click();
  await until('red', async () => (await value()) === 'red');
}

async function resolving({ page, api }) {
  const { id } = await api('/v1/tx', 'POST', { use: 'stuck' });
  await until('the need of attention', async () => (await api(`/v1/tx/${id}`)).attention);
  await go(page, `#/transaction/${id}`, 'stuck');
  await page.getByRole('button', { name: 'Resolve', exact: true }).click();
  await page.getByLabel('How it was put right').selectOption('aborted');
  await page.getByLabel('Reason').fill('done by hand');
  await page.getByRole('dialog').getByRole('button', { name: 'Resolve' }).click();
  await page.getByText('The transaction is resolved').waitFor();
  await until('its end', async () => (await api(`/v1/tx/${id}`)).status === 'aborted');
}

/** What the node refuses is said with its own words, and the dialog stays open. */
async function refusing({ page, api }) {
  await go(page, '#/data?store=configstore', 'Data');
  await page.getByRole('button', { name: 'Set colour' }).click();
  await page.getByLabel('Value', { exact: true }).fill('blue');
  await api('/v1/config/configstore/keys/colour', 'PUT', { value: 'taken' });
  await page.getByRole('dialog').getByRole('button', { name: 'Set' }).click();
  await page.locator('.toast.failed').waitFor();
  check(await page.getByRole('dialog').isVisible(), 'the dialog is gone, and with it what was typed');
  check((await api('/v1/config/configstore/keys/colour')).value === 'taken', 'the change of another was overwritten');
}

export async function actions(context) {
  const { browser, page, complaints } = await open(context);
  const all = { ...context, page };
  for (const step of [scaling, restarting, redriving, configuring, resolving, refusing]) {
    console.log(step.name);
    await step(all);
  }
  // The browser notes the refusal that was wanted.
  const others = complaints.filter((one) => !one.includes('409'));
  check(others.length === 0, others.join('\n'));
  await browser.close();
}
