import type { Browser, Locator } from 'playwright-core';
import { inject, vi } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { networkSnapshotSchema, type NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { startServer, type ServerOptions, type ServerProcess } from './server-process.ts';
import { launchChromium, openTab, type Tab, type TabOptions } from './tabs.ts';

const readyTimeoutMs = 90_000;
const answerTimeoutMs = 120_000;

export interface VolunteerTab extends Tab {
  readonly id: PeerId;
}

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

export async function startNetwork(options: Omit<ServerOptions, 'template'>): Promise<TestNetwork> {
  const server = await startServer({ ...options, template: inject('dataTemplate') });
  const browser: Browser = await launchChromium();
  const snapshot = async (): Promise<NetworkSnapshot> => {
    const response = await fetch(`${server.url}/api/network`);
    return networkSnapshotSchema.parse(await response.json());
  };
  const until = <T>(what: () => Promise<T>): Promise<T> => vi.waitFor(what, { timeout: readyTimeoutMs, interval: 100 });
  return {
    server,
    snapshot,
    async volunteer(tabOptions) {
      const before = new Set((await snapshot()).volunteers.map((volunteer) => volunteer.id));
      const tab = await openTab(browser, `${server.url}/#/volunteer`, tabOptions);
      await pressStart(tab);
      const id = await until(async () => {
        const { volunteers } = await snapshot();
        const added = volunteers.find((volunteer) => !before.has(volunteer.id) && volunteer.state === 'ready');
        if (added === undefined)
          throw new Error(`not ready; the page says: ${await tab.page.locator('main').innerText()}`);
        return added.id;
      });
      return { ...tab, id };
    },
    requester: (tabOptions) => openTab(browser, `${server.url}/#/`, tabOptions),
    async servable() {
      await until(async () => {
        const model = (await snapshot()).models[0];
        if (model?.servable !== true) throw new Error(`not servable: ${model?.reason ?? 'no model'}`);
      });
    },
    async stop() {
      await browser.close();
      await server.stop();
    },
  };
}

export async function pressStart(tab: Tab): Promise<void> {
  await tab.page.getByRole('button', { name: 'Start', exact: true }).click();
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
