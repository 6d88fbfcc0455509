import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { peerIdSchema, type PeerId } from '#shared/ids.ts';
import { builtPageFolder } from '../../../signal-server/cli/terminal/package-files.ts';
import type { TestNetwork } from '../../support/network.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';
import { openTab, type Tab, type TabOptions } from '../../support/tabs.ts';
import { pressStart } from '../../support/volunteer-tab.ts';

/** Devices as browsers treat them. The server has no model, and misses a page within a second. */
export function describeDevices(networkOf: () => TestNetwork): void {
  describe('a tab that volunteers', () => {
    let server: TestServer;
    const tabs: Tab[] = [];

    beforeAll(async () => {
      const times = { heartbeatMs: 250, heartbeatTimeoutMs: 1_000 };
      server = await startTestServer({ config: { times, webFolder: builtPageFolder } });
    });
    afterEach(async () => {
      await Promise.all(tabs.splice(0).map(({ context }) => context.close()));
    });
    afterAll(() => server.stop());

    async function start(options: TabOptions, before: (tab: Tab) => Promise<void> = async () => {}) {
      const tab = await openTab(networkOf().browser, `${server.url}/#/volunteer`, options);
      tabs.push(tab);
      await before(tab);
      await pressStart(tab);
      const id = peerIdSchema.parse(await tab.page.locator('.own .key').getAttribute('title'));
      await expect.poll(() => stateOf(id)).toBeDefined();
      return { ...tab, id };
    }

    const stateOf = (id: PeerId) => server.server.snapshot().volunteers.find((one) => one.id === id);

    test('is off the list while its code stands still, and back unpunished once it runs again', async () => {
      const { context, page, id } = await start({});
      const browser = await context.newCDPSession(page);
      await browser.send('Debugger.enable');
      // As in a tab that the browser has frozen, its sockets stay open and answer pings.
      await browser.send('Debugger.pause');
      await expect.poll(() => stateOf(id)).toBeUndefined();
      await browser.send('Debugger.resume');
      await expect.poll(() => stateOf(id)).toMatchObject({ gate: 'open', trust: { suspendedUntilMs: null } });
    });

    test('goes over to the processor when its graphics device is lost before it could work, and says so', async () => {
      const { page, id } = await start({ backend: 'auto' }, loseEveryDevice);
      expect(stateOf(id)).toMatchObject({ backend: 'wasm' });
      await page.getByText('The graphics device was lost before it could work').first().waitFor();
    });
  });
}

/** Puts a graphics device before the compute thread's own that is lost as soon as somebody has it. */
async function loseEveryDevice({ page }: Tab): Promise<void> {
  const gpu = `{ async requestAdapter() {
    const device = { features: new Set(), limits: {}, addEventListener() {}, destroy() {}, queue: {},
      lost: Promise.resolve({ reason: 'unknown', message: 'A valid external Instance reference no longer exists.' }) };
    return { info: { vendor: 'acme', architecture: 'x' }, features: new Set(), limits: {}, requestDevice: async () => device };
  } }`;
  await page.route(/\/assets\/main-[^/]*\.js$/, async (route) => {
    const response = await route.fetch();
    const body = `Object.defineProperty(navigator, 'gpu', { value: ${gpu} });\n${await response.text()}`;
    await route.fulfill({ response, body });
  });
}
