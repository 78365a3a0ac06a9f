// Every page opens in both themes, without a complaint of the browser, and axe finds nothing serious.
import { join } from 'node:path';
import { audit, check, go, open, until } from '../browser.mjs';

async function prepare({ api, gateway }) {
  for (let turn = 0; turn < 20; turn += 1) await (await fetch(`${gateway}/orders`)).text();
  await (await fetch(`${gateway}/users/nothing`)).text();
  const ids = {};
  for (const name of ['checkout', 'doomed', 'stuck']) ids[name] = (await api('/v1/tx', 'POST', { use: name, input: { order: 7 } })).id;
  await until('the stuck transaction', async () => (await api(`/v1/tx/${ids.stuck}`)).attention);
  for (let turn = 1; turn <= 3; turn += 1) await api('/v1/topics/order.created/messages', 'POST', { data: { turn, note: '<b>bold</b>' } });
  await until('dead letters', async () => (await api('/v1/topics/order.created/dead')).letters.length >= 3);
  for (const value of ['1', '2']) await api('/v1/config/configstore/keys/limit', 'PUT', { value: `{"max": ${value}}` });
  await api('/v1/state/statestore/put', 'POST', { items: [{ key: 'cart/1', put: { value: { items: [1, 2] } } }] });
  await api('/v1/locks/lockstore/report/acquire', 'POST', { owner: 'tester', ttl_ms: 600_000, outlives: true });
  return ids;
}

export async function pages(context) {
  const ids = await prepare(context);
  const all = [
    ['overview', '#/overview', 'Overview', 'orders'],
    ['map', '#/map?service=orders', 'Map', 'Called by'],
    ['service', '#/service/orders', 'orders', 'orders/1'],
    ['broken', '#/service/broken', 'broken', 'cannot open the database'],
    ['logs', '#/logs', 'Logs', 'cannot open the database'],
    ['gateway', '#/gateway', 'Gateway', 'Live requests'],
    ['topics', '#/topics', 'Topics', 'order.created'],
    ['topic', '#/topic/order.created', 'order.created', 'Redrive all'],
    ['transactions', '#/transactions', 'Transactions', 'needs attention'],
    ['transaction', `#/transaction/${ids.stuck}`, 'stuck', 'Needs attention'],
    ['committed', `#/transaction/${ids.checkout}`, 'checkout', 'Ended after'],
    ['aborted', `#/transaction/${ids.doomed}`, 'doomed', 'sold out'],
    ['data', '#/data?store=statestore', 'Data', 'cart/1'],
    ['config', '#/data?store=configstore', 'Data', 'limit'],
    ['locks', '#/data?store=lockstore', 'Data', 'report'],
    ['secrets', '#/data?store=secretstore', 'Data', 'Secrets'],
    ['problems', '#/problems', 'Problems', 'cannot open the database'],
    ['stuck', '#/problems', 'Problems', 'needs attention'],
  ];
  const found = [];
  for (const theme of ['light', 'dark']) {
    const { browser, page, complaints } = await open({ ...context, theme });
    for (const [name, hash, heading, text] of all) {
      await go(page, hash, heading);
      await page.locator('main').getByText(text).first().waitFor();
      if (name === 'gateway') {
        await (await fetch(`${context.gateway}/orders`)).text();
        await page.locator('main').getByText('GET /orders').first().waitFor();
      }
      if (name === 'map') {
        await (await fetch(`${context.gateway}/orders`)).text();
        await page.locator('main svg').getByText('gateway').waitFor();
      }
      found.push(...(await audit(page)).map((one) => `${name} (${theme}): ${one}`));
      if (context.shots) await page.screenshot({ path: join(context.shots, `${name}-${theme}.png`) });
    }
    found.push(...complaints.map((one) => `${theme}: ${one}`));
    await page.setViewportSize({ width: 420, height: 800 });
    await go(page, '#/overview', 'Overview');
    if (context.shots) await page.screenshot({ path: join(context.shots, `narrow-${theme}.png`) });
    await browser.close();
  }
  check(found.length === 0, `found:\n${found.join('\n')}`);
}
