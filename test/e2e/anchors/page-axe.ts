import AxeSource from 'axe-core';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { isThorough } from '../../support/effort.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';

const every = [
  { width: 1440, height: 900 },
  { width: 360, height: 780 },
].flatMap((size) => (['light', 'dark'] as const).map((scheme) => ({ ...size, scheme })));
/** Both widths and both schemes; each with each under `npm run test:thorough`. */
const looks = isThorough ? every : every.filter(({ width, scheme }) => (width === 1440) === (scheme === 'light'));

declare global {
  interface Window {
    axe: { run(): Promise<AxeResults> };
  }
}

export function describePage(networkOf: () => TestNetwork): void {
  describe('the page can be used by everyone', () => {
    test.for(looks)('axe finds nothing serious at $width px in $scheme', async ({ scheme, ...viewport }) => {
      const tab = await networkOf().requester({}, '/#/volunteer', {
        viewport,
        colorScheme: scheme,
        reducedMotion: 'reduce',
      });
      const { page, context } = tab;
      // The page's own policy allows no foreign script elements; evaluating is not one.
      await page.evaluate(AxeSource.source);
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));

      for (const [path, heading] of [
        ['/volunteer', 'Lend this device'],
        ['/network', 'Volunteers'],
        ['/receipts', 'Receipts'],
        ['/verify', 'Verify a receipt'],
        ['/log', 'The log'],
        ['/', 'Ask the chorus'],
      ] as const) {
        await page.goto(`${networkOf().server.url}/#${path}`);
        await page.getByRole('heading', { name: heading, exact: true }).waitFor();
        await expectGood(page, path);
      }
      await page.getByText('What checking means').click();
      await expectGood(page, 'what checking means');
      await sendQuestion(tab, 'What is the capital of France?');
      await finishedAnswer(tab);
      await expectGood(page, 'an answer');

      const mark = page.getByRole('button', { name: /same result twice/ });
      await mark.focus();
      await page.keyboard.press('Enter');
      await page.getByRole('grid', { name: 'Checks by stage and by positions' }).waitFor();
      await expectGood(page, 'who checked it');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Escape');
      expect(await mark.evaluate((button) => document.activeElement === button)).toBe(true);
      expect(await mark.getAttribute('aria-expanded')).toBe('false');
      await page.getByRole('button', { name: /^Receipt [0-9a-f]{8} logged/ }).click();
      await page.getByRole('button', { name: 'Copy the salt' }).waitFor();
      await expectGood(page, 'the receipt of an answer');
      await page.getByRole('link', { name: 'Look at it' }).click();
      await page.getByText(/^Checked, on the word of those who signed it/).waitFor();
      await expectGood(page, 'a receipt');
      const file = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Receipt', exact: true }).click();
      const path = await (await file).path();
      await page.getByRole('link', { name: 'wren', exact: true }).click();
      await page.getByRole('heading', { name: 'Where it comes from' }).waitFor();
      await page.getByText('What its publisher says of it').click();
      await expectGood(page, 'a model');
      await page.goto(`${networkOf().server.url}/#/verify`);
      await page.locator('input[type=file]').setInputFiles(path);
      await page.getByText(/^Checked, on the word of those who signed it/).waitFor();
      await expectGood(page, 'a verification');
      await page.goto(`${networkOf().server.url}/#/receipts?tier=disputed&from=2026-03-01`);
      await page.getByText('is a receipt like this.').waitFor();
      await expectGood(page, 'no receipt');
      expect(errors).toEqual([]);
      await context.close();
    });
  });
}

async function expectGood(page: Page, label: string): Promise<void> {
  expect(await seriousFindings(page), label).toEqual([]);
  expect(await overflowPx(page), label).toBe(0);
}

async function seriousFindings(page: Page): Promise<string[]> {
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

function overflowPx(page: Page): Promise<number> {
  return page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
}
