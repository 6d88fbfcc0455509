import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { page as screen, userEvent } from 'vitest/browser';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { VolunteerState } from '#shared/peer/volunteer/volunteer-state.ts';
import App from '../../../web/App.svelte';
import '../../../web/app.css';
import CopyButton from '../../../web/components/controls/CopyButton.svelte';
import VolunteerControl from '../../../web/components/volunteer/VolunteerControl.svelte';
import RouteAside from '../../../web/components/answer/RouteAside.svelte';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import { KeptFiles } from '../../../web/state/kept-files.svelte.ts';
import type { PageState } from '../../../web/state/page-context.ts';
import { PageUpdate } from '../../../web/state/page/page-update.svelte.ts';
import type { VolunteerPanel } from '../../../web/state/volunteer-panel.svelte.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { storyEvents } from '../../support/page-gallery/check-fixtures.ts';
import { downloadingState, peer, servingState, WREN } from '../../support/page-gallery/fixtures.ts';
import { lostPage } from '../../support/page-state.ts';

const shown: object[] = [];
const networks: PageState['network'][] = [];
beforeEach(() => localStorage.clear());
afterEach(async () => {
  for (const component of shown.splice(0)) await unmount(component);
  for (const network of networks.splice(0)) network.stop();
  document.body.replaceChildren();
  location.hash = '';
  vi.restoreAllMocks();
});

function makeTarget(): HTMLElement {
  const target = document.createElement('div');
  target.id = 'app';
  document.body.append(target);
  return target;
}

/** The page at one of its addresses. */
function show(path: string, given: Partial<PageState> = {}) {
  location.hash = path;
  const target = makeTarget();
  const page = lostPage(given);
  networks.push(page.network);
  shown.push(mount(App, { target, props: { page } }));
  flushSync();
  return { target, page };
}

/** The text for screen readers. */
function told(target: HTMLElement): string {
  return [...target.querySelectorAll('[role=status]')].map(({ textContent }) => textContent).join(' ');
}

const TOOK_OVER = /direct connection .*did not come up/;

test('the Volunteer view says that the relay took over, for as long as it does', async () => {
  const { target, page } = show('/volunteer');
  await expect.poll(() => target.innerText).toContain('Lend this device');
  expect(target.innerText).not.toMatch(TOOK_OVER);
  page.connection.fallBack(peer(1));
  flushSync();
  expect(target.innerText).toMatch(TOOK_OVER);
  page.connection.addLink({ peer: peer(1), transport: 'webrtc', onClose: () => () => undefined });
  flushSync();
  expect(target.innerText).not.toMatch(TOOK_OVER);
});

test.for([true, false])('the route says that the relay took over: %s', (fellBack) => {
  const answer = new ShownAnswer(0);
  for (const event of storyEvents()) answer.apply(event, 10);
  const target = makeTarget();
  shown.push(mount(RouteAside, { target, props: { model: WREN, coverage: null, answer, fellBack } }));
  expect(TOOK_OVER.test(target.innerText)).toBe(fellBack);
});

test('the Volunteer view says how much is kept on this device, and clears it', async () => {
  let blobs = [{ digest: '0' as Digest, storedBytes: 6_300_000, totalBytes: 6_300_000 }];
  const kept = new KeptFiles(() =>
    Promise.resolve({
      list: () => Promise.resolve(blobs),
      removeUnused: () => {
        blobs = [];
        return Promise.resolve(6_300_000);
      },
      close: () => undefined,
    }),
  );
  const { target } = show('/volunteer', { kept });
  await expect.poll(() => target.innerText).toMatch(/Kept on this device\s+6\.3 MB/);
  const button = [...target.querySelectorAll('button')].find(({ innerText }) => innerText.startsWith('Clear'));
  button?.focus();
  button?.click();
  await expect.poll(() => told(target)).toContain('Cleared 6.3 MB.');
  expect(document.activeElement).toBe(button);
});

test('what is kept is counted when a download begins and ends, and not with each of its pieces', async () => {
  const open = vi.fn(() => Promise.reject(new ChorusError('unsupported', 'nothing is kept')));
  const { target, page } = show('/volunteer', { kept: new KeptFiles(open) });
  await expect.poll(() => target.innerText).toContain('Lend this device');
  const before = open.mock.calls.length;
  const downloading = downloadingState(0);
  for (let done = 1; done <= 5; done++) {
    page.volunteer.state = { ...downloading, progress: { ...downloading.progress!, done } };
    flushSync();
  }
  expect(target.querySelector('progress')?.value).toBe(5);
  expect(open.mock.calls.length).toBe(before + 1);
  page.volunteer.state = servingState(0);
  flushSync();
  expect(open.mock.calls.length).toBe(before + 2);
});

test('why volunteering stopped is told to screen readers', async () => {
  const { target, page } = show('/volunteer');
  await page.volunteer.start();
  await expect.poll(() => told(target)).toMatch(/Stopped by a problem[^]*The signal server cannot be reached/);
});

test('who presses Start by the keyboard stays among its buttons', async () => {
  const { target } = show('/volunteer');
  await expect.poll(() => target.innerText).toContain('Lend this device');
  const buttons = target.querySelector('.control .buttons')!;
  buttons.querySelector('button')!.focus();
  await userEvent.keyboard('{Enter}');
  // The server is not there, so it is off again at once.
  await expect.poll(() => told(target)).toContain('Stopped by a problem');
  await expect.poll(() => buttons.contains(document.activeElement)).toBe(true);
  expect(document.activeElement?.textContent.trim()).toBe('Start');
});

test.for([360, 1440])('that the server is not reached is seen at %i px before anything is asked', async (width) => {
  await screen.viewport(width, 780);
  const { target, page } = show('/');
  await page.network.refresh();
  flushSync();
  const sign = target.querySelector<HTMLElement>('.presence')!;
  expect(sign.innerText.trim()).toBe('Server not reached');
  expect(sign.getBoundingClientRect().height).toBeGreaterThan(10);
  await expect.poll(() => target.innerText).toContain('The signal server cannot be reached');
  expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(width);
});

test('a clipboard that is refused is told, and one that works too', async () => {
  const write = vi.spyOn(navigator.clipboard, 'writeText').mockRejectedValueOnce(new DOMException('no'));
  const target = makeTarget();
  shown.push(mount(CopyButton, { target, props: { text: 'abc', what: 'the key' } }));
  const status = target.querySelector<HTMLElement>('[role=status]')!;
  target.querySelector('button')!.click();
  await expect.poll(() => status.innerText).toContain('does not let this page copy');
  expect(status.classList.contains('visually-hidden')).toBe(false);
  write.mockResolvedValueOnce(undefined);
  target.querySelector('button')!.click();
  await expect.poll(() => status.textContent).toContain('Copied.');
  expect(write).toHaveBeenLastCalledWith('abc');
});

test('each setting of a volunteer has its name, for those who do not see it and those who point at it', async () => {
  const { target } = show('/volunteer');
  await expect.poll(() => target.innerText).toContain('What you lend');
  const named = [...target.querySelectorAll<HTMLInputElement>('.options input')].map(({ labels }) => labels?.length);
  expect(named.length).toBeGreaterThan(6);
  expect(named.every((count) => count === 1)).toBe(true);
});

/** The notice of the whole page that holds these words. */
function notice(target: HTMLElement, words: string): HTMLElement | null {
  const notices = [...target.querySelectorAll<HTMLElement>('.notices .notice')];
  return notices.find(({ innerText }) => innerText.includes(words)) ?? null;
}
const press = (within: HTMLElement, name: string) =>
  [...within.querySelectorAll('button')].find(({ innerText }) => innerText.trim() === name)!.click();

test.for([360, 1440])('what the browser does not keep is told once, at %i px on any view', async (width) => {
  await screen.viewport(width, 780);
  const { target, page } = show('/log');
  for (const thing of ['settings', 'key'] as const) page.deviceStorage.report(thing, 'denied');
  page.deviceStorage.reportDamage(2);
  flushSync();
  expect(told(target)).toMatch(/keeps nothing for this page.*2 parts of a model/s);
  expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(width);
  press(notice(target, 'keeps nothing')!, 'Understood');
  press(notice(target, 'damaged')!, 'Understood');
  page.deviceStorage.report('files', 'denied');
  flushSync();
  expect(target.querySelector('.notices .notice')).toBeNull();
});

test('a want of room that comes later is told beside what was told before', () => {
  const { target, page } = show('/');
  page.deviceStorage.report('key', 'failed');
  flushSync();
  press(notice(target, 'the key of this tab')!, 'Understood');
  page.deviceStorage.report('key', 'failed');
  page.deviceStorage.report('files', 'full');
  flushSync();
  expect(notice(target, 'no more room')?.innerText).toMatch(/but downloaded parts of models will not/);
});

test('where something fails after an update, a reload is offered, and by no other way', async () => {
  let reloads = 0;
  const update = new PageUpdate({
    program: 'old.js',
    fetchProgram: () => Promise.resolve('new.js'),
    reload: () => reloads++,
    isBusy: () => false,
    isHidden: () => false,
    clock: new FakeClock(),
  });
  const { target, page } = show('/volunteer', { update });
  await expect.poll(() => target.innerText).toContain('Lend this device');
  expect(notice(target, 'updated')).toBeNull();
  await page.volunteer.start();
  await expect.poll(() => told(target)).toMatch(/Chorus was updated while this page was open/);
  press(notice(target, 'updated')!, 'Reload');
  expect(reloads).toBe(1);
});

test('a volunteer that waits after a problem does not say that it is ready', async () => {
  await screen.viewport(360, 780);
  const raw = `magic word 00 61 73 6d in https://chorus.example/assets/engine-${'1a2b3c4d'.repeat(8)}.wasm`;
  const error = new ChorusError('internal', raw, {}, raw);
  const state: VolunteerState = { ...servingState(Date.now()), phase: 'idle', message: 'Could not take it.', error };
  const target = makeTarget();
  const volunteer = { state, isOff: false, wasWorking: false, isPreparing: false } as unknown as VolunteerPanel;
  shown.push(mount(VolunteerControl, { target, props: { volunteer, isSuspended: false } }));
  expect(target.innerText).toContain('Waiting after a problem');
  expect(target.innerText).not.toMatch(/Ready|magic word/);
  target.querySelector('summary')!.click();
  await expect.poll(() => target.innerText).toContain('magic word 00 61 73 6d');
  expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
});
