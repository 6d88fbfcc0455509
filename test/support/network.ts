import type { Browser, BrowserContextOptions, Locator } from 'playwright-core';
import { inject } from 'vitest';
import { chromiumArgs } from '../../scripts/find-chromium.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { startServer, type ServerOptions, type ServerProcess } from './server-process.ts';
import { launchChromium, openTab, type Tab, type TabOptions } from './tabs.ts';
import { fetchSnapshot, until, volunteerIn, type VolunteerTab } from './volunteer-tab.ts';

const answerTimeoutMs = 120_000;
/** A name for this machine that browsers do not take for it: pages from it come over plain http. */
export const PLAIN_HOST = 'plain.test';

/** A signal server with its own data folder and a Chromium whose tabs join it. */
export interface TestNetwork<Server extends ServerProcess = ServerProcess> {
  readonly server: Server;
  readonly browser: Browser;
  snapshot(): Promise<NetworkSnapshot>;
  /** Opens a tab, presses Start and waits until the server gives it work. */
  volunteer(options?: TabOptions): Promise<VolunteerTab>;
  /** `count` of them at once, as tabs come in life. */
  volunteers(count: number, options?: TabOptions): Promise<VolunteerTab[]>;
  /** Opens a tab at the Ask view, or at another address of the server. */
  requester(options?: TabOptions, address?: string, look?: BrowserContextOptions): Promise<Tab>;
  /** Waits until routes can be given. */
  servable(): Promise<void>;
  /** Closes every tab that is open, and waits until the server knows of no volunteer but its anchors. */
  empty(): Promise<void>;
  stop(): Promise<void>;
}

export async function startNetwork(options: Omit<ServerOptions, 'template' | 'dataFolder'>): Promise<TestNetwork> {
  // Sessions are counted here; that volunteers are tried without anchors has tests of its own. The least work shows that it is done.
  const extraArguments = [...(options.extraArguments ?? []), '--stand-ins', '0', '--admission-work', '1'];
  const server = await startServer({ ...options, extraArguments, template: inject('dataTemplate') });
  return networkAround(server, options.anchors);
}

/** A network around a server that runs already, and is stopped with it. */
export async function networkAround<Server extends ServerProcess>(
  server: Server,
  anchors: number,
): Promise<TestNetwork<Server>> {
  const browser = await launchChromium([...chromiumArgs, `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`]);
  const snapshot = (): Promise<NetworkSnapshot> => fetchSnapshot(server.url);
  return {
    server,
    browser,
    snapshot,
    volunteer: (tabOptions) => volunteerIn(browser, server.url, tabOptions),
    volunteers: (count, tabOptions) =>
      Promise.all(Array.from({ length: count }, () => volunteerIn(browser, server.url, tabOptions))),
    requester: (tabOptions, address = '/#/', look) => openTab(browser, `${server.url}${address}`, tabOptions, look),
    async servable() {
      await until(
        async () => (await snapshot()).models.find((model) => model.servable),
        async () => `not servable: ${(await snapshot()).models[0]?.reason ?? 'no model'}`,
      );
    },
    async empty() {
      await Promise.all(browser.contexts().map((context) => context.close()));
      await until(
        async () => ((await snapshot()).volunteers.length === anchors ? true : undefined),
        async () => `${(await snapshot()).volunteers.length} volunteers are still there`,
      );
    },
    async stop() {
      await browser.close();
      await server.stop();
    },
  };
}

/** The text of the last answer on the Ask view, as far as it has come. */
export function answerText(tab: Tab): Locator {
  return tab.page.getByRole('list', { name: 'Conversation' }).locator('.answer .text').last();
}

export async function sendQuestion(tab: Tab, question: string): Promise<void> {
  await tab.page.getByLabel('Your question').fill(question);
  await tab.page.getByRole('button', { name: 'Send' }).click();
}

/** Waits until the last answer is whole and returns its text. */
export async function finishedAnswer(tab: Tab): Promise<string> {
  await tab.page.getByRole('button', { name: 'Ask again' }).last().waitFor({ timeout: answerTimeoutMs });
  return answerText(tab).innerText();
}
