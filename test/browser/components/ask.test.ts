import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { page as screen } from 'vitest/browser';
import { pageClock } from '../../../web/browser/page-clock.ts';
import App from '../../../web/App.svelte';
import { Models } from '../../../web/state/models.svelte.ts';
import { Network } from '../../../web/state/network.svelte.ts';
import type { PageState } from '../../../web/state/page-context.ts';
import { Settings } from '../../../web/state/settings.svelte.ts';
import { networkSnapshot, WREN } from '../../support/page-gallery/fixtures.ts';
import { lostPage } from '../../support/page-state.ts';

let app: object | null = null;
let page: PageState;
beforeEach(async () => {
  localStorage.clear();
  await screen.viewport(900, 700);
});
afterEach(async () => {
  if (app !== null) await unmount(app);
  app = null;
  page.network.stop();
  document.body.replaceChildren();
  location.hash = '';
});

/** The Ask view over a network whose one model is servable once it is told so. */
async function open(): Promise<{ target: HTMLElement; cover: () => Promise<void> }> {
  const target = document.createElement('div');
  document.body.append(target);
  let isCovered = false;
  const network = new Network({
    fetchNetwork: () => Promise.resolve(networkSnapshot(Date.now(), isCovered)),
    clock: pageClock(),
    isHidden: () => false,
  });
  const settings = new Settings(localStorage);
  const models = new Models(() => Promise.resolve([WREN]), settings);
  page = lostPage({ network, models, settings });
  location.hash = '/';
  app = mount(App, { target, props: { page } });
  flushSync();
  await network.refresh();
  const cover = async (): Promise<void> => {
    isCovered = true;
    await network.refresh();
    flushSync();
  };
  return { target, cover };
}

test('the question has the focus when the page is opened', async () => {
  await open();
  await expect.poll(() => document.activeElement?.id).toBe('question');
});

test('a want of volunteers goes away when they have come', async () => {
  const { target, cover } = await open();
  await expect.poll(() => target.innerText).toContain('cannot answer right now');
  await cover();
  expect(target.innerText).not.toContain('cannot answer right now');
});

test('Lend this tab starts its volunteer and shows it', async () => {
  const { target } = await open();
  await expect.poll(() => target.innerText).toContain('Lend this tab');
  const link = [...target.querySelectorAll('a')].find(({ innerText }) => innerText === 'Lend this tab')!;
  link.click();
  expect(page.volunteer.state.phase).toBe('connecting');
  await expect.poll(() => location.hash).toBe('#/volunteer');
});
