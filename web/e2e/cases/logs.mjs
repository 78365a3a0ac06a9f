// The log page goes on while thousands of lines a second come, and shows hostile lines as text.
import { check, go, open, until } from '../browser.mjs';

const shownLines = async (page) => Number((await page.locator('.head .small').first().innerText()).replaceAll(',', '').split(' ')[0]);

async function hostile({ page, gateway }) {
  await fetch(`${gateway}/hostile`);
  await go(page, '#/logs', 'Logs');
  await page.getByText('<script>window.hacked = 1</script>').first().waitFor();
  await page.getByText('bad\ufffd\ufffd bytes').first().waitFor();
  await page.getByText('turned \\u202earound').first().waitFor();
  check((await page.evaluate(() => window.hacked)) === undefined, 'a line of a service ran as a script');
  const red = await page.getByText('red <script>').first().innerText();
  check(!red.includes('\u001b'), `an escape is shown: ${red}`);
}

async function flood({ page, gateway }) {
  await fetch(`${gateway}/noise`);
  // It draws while the flood comes: the number of lines goes up until the page is full, and the last row is a late line.
  await until('many lines', async () => (await shownLines(page)) > 20_000);
  const last = async () => Number(/line (\d+)/.exec((await page.locator('.row .text').last().innerText()) ?? '')?.[1] ?? 0);
  const before = await last();
  await until('later lines', async () => (await last()) > before + 5000);
  const drawn = await page.locator('.row').count();
  check(drawn < 200, `${drawn} rows are drawn`);
  // It answers to what the user does, in the middle of it.
  await page.getByLabel('Only lines that contain').fill('needle');
  await until('only needles', async () => (await page.locator('.row .text').allInnerTexts()).every((text) => text.includes('needle')));
  await page.getByLabel('Only lines that contain').fill('');
  await page.getByRole('button', { name: 'Pause' }).click();
  const still = await page.locator('.row .text').last().innerText();
  await page.getByText(/paused, [\d,]{5,} lines wait/).waitFor();
  check((await page.locator('.row .text').last().innerText()) === still, 'what is paused moves');
  await page.getByRole('button', { name: 'Go on' }).click();
  await until('it to go on', async () => (await page.locator('.row .text').last().innerText()) !== still);
}

/** A page that nobody sees lets go of the stream, and has all lines when it is seen again. */
async function unseen({ page, gateway, api }) {
  const see = (isHidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
  const newest = async () => (await api('/v1/logs?tail=1&service=noisy')).lines[0].seq;
  await see(true);
  const before = await newest();
  await until('lines that the page does not get', async () => (await newest()) > before + 5000);
  await see(false);
  await fetch(`${gateway}/quiet`);
  await page.getByLabel('Only lines that contain').fill('needle');
  const last = await newest();
  const numbers = async () => (await page.locator('.row .text').allInnerTexts()).map((text) => Number(/line (\d+)/.exec(text)?.[1]));
  // A needle is in each thousand lines, so none is missing when they follow each other by thousands.
  await until('the newest needle', async () => {
    const { lines } = await api('/v1/logs?tail=1&service=noisy&grep=needle');
    return (await newest()) === last && lines[0].text.includes(`line ${(await numbers()).at(-1)} `);
  });
  const found = await numbers();
  check(found.length > 5 && found.every((number, place) => place === 0 || number === found[place - 1] + 1000), `needles: ${found}`);
}

export async function logs(context) {
  const { browser, page, complaints } = await open(context);
  await hostile({ ...context, page });
  await flood({ ...context, page });
  await unseen({ ...context, page });
  check(complaints.length === 0, complaints.join('\n'));
  await browser.close();
}
