// Chromium, and what every case needs to look at a page.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

/** A state that is waited for may take this long, on the slowest machine. */
export const WAIT_MS = 60_000;

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Opens the dashboard, logged in. What the page complains about is collected in `complaints`. */
export async function open({ url, executablePath, theme = 'light' }) {
  // In a container there is no user that the sandbox of the browser could be made for; the pages are our own.
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const context = await browser.newContext({ colorScheme: theme, viewport: { width: 1360, height: 860 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(`${error.message}\n${error.stack}`));
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog of the browser: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(url);
  await page.getByText('live', { exact: true }).first().waitFor();
  return { browser, page, complaints };
}

/** Goes to a page of the dashboard and waits until it is there. */
export async function go(page, hash, heading) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await page.getByRole('heading', { level: 1 }).filter({ hasText: heading }).waitFor();
}

/** What axe finds that is serious. The script is evaluated by the debugger, so the policy of the page stays as it is. */
export async function audit(page) {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const found = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return found.violations
      .filter((one) => ['serious', 'critical'].includes(one.impact))
      .map((one) => `${one.id}: ${one.nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} — ${node.any[0]?.message ?? ''}`).join('\n    ')}`);
  });
  return violations;
}

/** Asks again until the answer is true: a state is waited for, never a time. */
export async function until(what, look) {
  const deadline = Date.now() + WAIT_MS;
  let last;
  while (Date.now() < deadline) {
    last = await look();
    if (last) return last;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`waited in vain for ${what}; last: ${JSON.stringify(last)}`);
}

export function check(isSo, message) {
  if (!isSo) throw new Error(message);
}
