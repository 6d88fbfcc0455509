import type { Locator } from 'playwright-core';
import { inject } from 'vitest';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { startServer, type ServerOptions, type ServerProcess } from './server-process.ts';
import { launchChromium, openTab, type Tab, type TabOptions } from './tabs.ts';
import { fetchSnapshot, until, volunteerIn, type VolunteerTab } from './volunteer-tab.ts';

const answerTimeoutMs = 120_000;

/** A signal server with its own data folder and a Chromium whose tabs join it. */
export interface TestNetwork {
  readonly server: ServerProcess;
  snapshot(): Promise<NetworkSnapshot>;
  /** Opens a tab, presses Start and waits until the server sees it ready. */
  volunteer(options?: TabOptions): Promise<VolunteerTab>;
  /** Opens a tab at the Ask view. */
  requester(options?: TabOptions): Promise<Tab>;
  /** Waits until routes can be given. */
  servable(): Promise<void>;
  stop(): Promise<void>;
}

export async function startNetwork(options: Omit<ServerOptions, 'template' | 'dataFolder'>): Promise<TestNetwork> {
  const server = await startServer({ ...options, template: inject('dataTemplate') });
  const browser = await launchChromium();
  const snapshot = (): Promise<NetworkSnapshot> => fetchSnapshot(server.url);
  return {
    server,
    snapshot,
    volunteer: (tabOptions) => volunteerIn(browser, server.url, tabOptions),
    requester: (tabOptions) => openTab(browser, `${server.url}/#/`, tabOptions),
    async servable() {
      await until(
        async () => (await snapshot()).models.find((model) => model.servable),
        async () => `not servable: ${(await snapshot()).models[0]?.reason ?? 'no model'}`,
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
