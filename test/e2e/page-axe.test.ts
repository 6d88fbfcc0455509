import AxeSource from 'axe-core';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { finishedAnswer, sendQuestion } from '../support/network.ts';
import { startServer, type ServerProcess } from '../support/server-process.ts';
import { launchChromium, type Tab } from '../support/tabs.ts';

const sizes = [
  { width: 1440, height: 900 },
  { width: 360, height: 780 },
];
const cases = sizes.flatMap((size) => (['light', 'dark'] as const).map((scheme) => ({ ...size, scheme })));

declare global {
  interface Window {
    axe: { run(): Promise<AxeResults> };
  }
}

describe('the page can be used by everyone', () => {
  let server: ServerProcess;
  let browser: Browser;

  beforeAll(async () => {
    server = await startServer({ anchors: 4, template: inject('dataTemplate') });
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser.close();
    await server.stop();
  });

  test.for(cases)('axe finds nothing serious at $width px in $scheme', async ({ scheme, ...viewport }) => {
    const context = await browser.newContext({ viewport, colorScheme: scheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
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
      await page.goto(`${server.url}/#${path}`);
      await page.getByRole('heading', { name: heading, exact: true }).waitFor();
      expect(await seriousFindings(page), path).toEqual([]);
      expect(await overflowPx(page), path).toBe(0);
    }
    await page.getByText('What checking means').click();
    expect(await seriousFindings(page), 'what checking means').toEqual([]);
    expect(await overflowPx(page), 'what checking means').toBe(0);
    const tab: Tab = { page, context };
    await sendQuestion(tab, 'What is the capital of France?');
    await finishedAnswer(tab);
    expect(await seriousFindings(page), 'an answer').toEqual([]);
    expect(await overflowPx(page), 'an answer').toBe(0);

    const mark = page.getByRole('button', { name: /agreed within tolerance/ });
    await mark.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('grid', { name: 'Checks by stage and by positions' }).waitFor();
    expect(await seriousFindings(page), 'who checked it').toEqual([]);
    expect(await overflowPx(page), 'who checked it').toBe(0);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Escape');
    expect(await mark.evaluate((button) => document.activeElement === button)).toBe(true);
    expect(await mark.getAttribute('aria-expanded')).toBe('false');
    await page.getByText(/^Receipt [0-9a-f]{8}/).click();
    await page.getByRole('button', { name: 'Copy the salt' }).waitFor();
    expect(await seriousFindings(page), 'the receipt of an answer').toEqual([]);
    expect(await overflowPx(page), 'the receipt of an answer').toBe(0);
    await page.getByRole('link', { name: /#\/receipts\/[0-9a-f]{64}$/ }).click();
    await page.getByText(/^Nothing in this receipt is wrong/).waitFor();
    expect(await seriousFindings(page), 'a receipt').toEqual([]);
    expect(await overflowPx(page), 'a receipt').toBe(0);
    const file = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Receipt', exact: true }).click();
    const path = await (await file).path();
    await page.getByRole('link', { name: 'wren', exact: true }).click();
    await page.getByRole('heading', { name: 'Where it comes from' }).waitFor();
    await page.getByText('What its publisher says of it').click();
    expect(await seriousFindings(page), 'a model').toEqual([]);
    expect(await overflowPx(page), 'a model').toBe(0);
    await page.goto(`${server.url}/#/verify`);
    await page.locator('input[type=file]').setInputFiles(path);
    await page.getByText(/^Nothing in this receipt is wrong/).waitFor();
    expect(await seriousFindings(page), 'a verification').toEqual([]);
    expect(await overflowPx(page), 'a verification').toBe(0);
    await page.goto(`${server.url}/#/receipts?tier=disputed&from=2026-03-01`);
    await page.getByText('is a receipt like this.').waitFor();
    expect(await seriousFindings(page), 'no receipt').toEqual([]);
    expect(await overflowPx(page), 'no receipt').toBe(0);
    expect(errors).toEqual([]);
    await context.close();
  });
});

async function seriousFindings(page: Page): Promise<string[]> {
  // The page's own policy allows no foreign script elements; evaluating is not one.
  await page.evaluate(AxeSource.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

function overflowPx(page: Page): Promise<number> {
  return page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
}
