import { chromium } from 'playwright-core';
import { mkdtempSync } from 'node:fs';
import { chromiumArgs, findChromium } from './scripts/find-chromium.ts';
import { startServer } from './test/support/server-process.ts';
const server = await startServer({ anchors: 0, dataFolder: '/tmp/m14/d-qwen', extraArguments: ['--stand-ins', '0'] });
const context = await chromium.launchPersistentContext(mkdtempSync('/tmp/prof-'), {
  executablePath: findChromium()!,
  args: [...chromiumArgs, '--enable-logging=stderr', '--v=0'],
  ...(process.env['OUT'] ? {} : {}),
});
await context.addInitScript(() =>
  localStorage.setItem(
    'chorus.volunteer',
    JSON.stringify({ backend: 'wasm', pledgeMegabytes: 2048, slots: 2, dutyPercent: 100, keepAwake: false }),
  ),
);
const page = context.pages()[0]!;
page.on('crash', () => console.log('CRASH'));
page.on('console', (m) => console.log('console', m.text().slice(0, 300)));
page.on('pageerror', (e) => console.log('pageerror', String(e).slice(0, 300)));
await page.goto(`${server.url}/#/volunteer`);
await page.getByRole('button', { name: 'Start', exact: true }).click();
for (let i = 0; i < 60; i++) {
  try {
    console.log(
      i,
      await page.evaluate(() =>
        (document.querySelector('.control') as HTMLElement)?.innerText.replace(/\s+/g, ' ').slice(0, 160),
      ),
      await page.evaluate(async () => Math.round(((await navigator.storage.estimate()).usage ?? 0) / 1e6)),
    );
  } catch (e) {
    console.log(String(e).slice(0, 100));
    break;
  }
  await new Promise((r) => setTimeout(r, 1000));
}
await context.close();
await server.stop();
process.exit(0);
