// Looks at the dashboard of a running system with a real browser: `node e2e/run.mjs CASE`.
//
// DASHBOARD_URL  the address with the token, as `flotilla open --print` gives it
// GATEWAY_URL    where the system's gateway answers
// CHROMIUM       the browser
// SHOTS          a folder for pictures; none are made without it
import { actions } from './cases/actions.mjs';
import { keys } from './cases/keys.mjs';
import { logs } from './cases/logs.mjs';
import { pages } from './cases/pages.mjs';

const CASES = { pages, actions, logs, keys };

const { DASHBOARD_URL: url, GATEWAY_URL: gateway, CHROMIUM: executablePath, SHOTS: shots } = process.env;
const name = process.argv[2];
const run = CASES[name];
if (!run || !url || !gateway || !executablePath) {
  console.error(`usage: DASHBOARD_URL=… GATEWAY_URL=… CHROMIUM=… node e2e/run.mjs ${Object.keys(CASES).join('|')}`);
  process.exit(2);
}

/** Asks the admin API, as the page does. */
const base = new URL(url);
async function api(path, method = 'GET', body) {
  const headers = { authorization: `Bearer ${base.searchParams.get('t')}`, 'content-type': 'application/json' };
  const answer = await fetch(new URL(path, base.origin), { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

try {
  await run({ url, gateway, executablePath, shots, api });
  console.log(`${name}: passed`);
  process.exit(0);
} catch (cause) {
  console.error(cause);
  process.exit(1);
}
