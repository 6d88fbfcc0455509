import type { Browser } from 'playwright-core';
import { startServer } from '../support/server-process.ts';
import { pressStart, volunteerIn } from '../support/volunteer-tab.ts';
import { figure, type Figure } from './figures.ts';

/**
 * Milliseconds from Start to "Working" on the page of a tab that worked and was reloaded, with its weights kept: pressed
 * when the page says that its runtime is ready, and as soon as the button is there.
 */
export async function measureReload(browser: Browser, template: string, rounds: number): Promise<Figure[]> {
  const server = await startServer({ anchors: 0, minStages: 1, template });
  try {
    const tab = await volunteerIn(browser, server.url, { backend: 'wasm' });
    const times = { ready: [] as number[], shown: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      for (const when of ['ready', 'shown'] as const) {
        await tab.page.reload();
        if (when === 'ready') await tab.page.getByText('Press Start to go on.').waitFor();
        const pressedAtMs = performance.now();
        await pressStart(tab);
        await tab.page.getByRole('heading', { name: 'Working' }).waitFor();
        times[when].push(performance.now() - pressedAtMs);
      }
    }
    return [
      figure('reloaded tab: Start to working', 'ms', times.ready),
      figure('reloaded tab: Start to working, pressed while the runtime still loads', 'ms', times.shown),
    ];
  } finally {
    await server.stop();
  }
}
