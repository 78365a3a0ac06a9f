// Everything can be reached by the keyboard, and the theme that was chosen stays.
import { check, open, until } from '../browser.mjs';

const heading = (page, text) => page.getByRole('heading', { level: 1, name: text }).waitFor();

export async function keys(context) {
  const { browser, page, complaints } = await open(context);
  for (const [key, title] of [['l', 'Logs'], ['t', 'Topics'], ['x', 'Transactions'], ['g', 'Gateway'], ['o', 'Overview']]) {
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await heading(page, title);
  }
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('orders service');
  await page.keyboard.press('Enter');
  await heading(page, 'orders');
  await page.keyboard.press('g');
  await page.keyboard.press('l');
  await heading(page, 'Logs');
  await page.keyboard.press('/');
  await page.keyboard.type('listens');
  await until('the filter in the address', () => page.evaluate(() => location.hash.includes('text=listens')));
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await background();
  await page.getByRole('button', { name: /Theme: system/ }).click();
  await page.getByRole('button', { name: /Theme: light/ }).click();
  await until('the dark theme', async () => (await background()) !== light);
  await page.reload();
  await heading(page, 'Logs');
  check((await background()) !== light, 'the theme was forgotten');
  check(complaints.length === 0, complaints.join('\n'));
  await browser.close();
}
