import type { Browser } from 'playwright-core';
import { peerIdSchema, type PeerId } from '#shared/ids.ts';
import { networkSnapshotSchema, type NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { openTab, type Tab, type TabOptions } from './tabs.ts';

/** A software GPU on a loaded machine of two cores takes a minute over its probe. */
const readyTimeoutMs = 150_000;
const pollMs = 100;

export interface VolunteerTab extends Tab {
  readonly id: PeerId;
}

export async function fetchSnapshot(serverUrl: string): Promise<NetworkSnapshot> {
  return networkSnapshotSchema.parse(await (await fetch(`${serverUrl}/api/network`)).json());
}

/** Calls `find` until it gives something; throws what `explain` says if that takes too long. */
export async function until<T>(find: () => Promise<T | undefined>, explain: () => Promise<string>): Promise<T> {
  const endAtMs = performance.now() + readyTimeoutMs;
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (performance.now() > endAtMs) throw new Error(await explain());
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

export async function pressStart(tab: Tab): Promise<void> {
  await tab.page.getByRole('button', { name: 'Start', exact: true }).click();
}

/** Opens a tab at the Volunteer view, presses Start and waits until the server gives it work. */
export async function volunteerIn(browser: Browser, serverUrl: string, options?: TabOptions): Promise<VolunteerTab> {
  const tab = await openTab(browser, `${serverUrl}/#/volunteer`, options);
  await pressStart(tab);
  const id = peerIdSchema.parse(await tab.page.locator('.own .key').getAttribute('title', { timeout: readyTimeoutMs }));
  await until(
    async () =>
      (await fetchSnapshot(serverUrl)).volunteers.find(
        (volunteer) => volunteer.id === id && volunteer.state === 'ready' && volunteer.gate === 'open',
      ),
    async () => `not ready; the page says: ${await tab.page.locator('main').innerText()}`,
  );
  return { ...tab, id };
}
