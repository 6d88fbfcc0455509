import axe from 'axe-core';
import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { page as screen, userEvent } from 'vitest/browser';
import App from '../../../web/App.svelte';
import '../../../web/app.css';
import { pageClock } from '../../../web/browser/page-clock.ts';
import type { PromptMeter } from '../../../web/conversations/fit-context.ts';
import { ContextGauge } from '../../../web/state/conversation/context-gauge.svelte.ts';
import { Dialogue } from '../../../web/state/conversation/dialogue.svelte.ts';
import { KeptConversations } from '../../../web/state/conversation/kept-conversations.svelte.ts';
import { Models } from '../../../web/state/models.svelte.ts';
import { openInTab } from '../../../web/state/open-in-tab.ts';
import { Settings } from '../../../web/state/settings.svelte.ts';
import { memoryConversationStore } from '../../support/memory-conversation-store.ts';
import { storyEvents } from '../../support/page-gallery/check-fixtures.ts';
import { keptConversations } from '../../support/page-gallery/conversation-fixtures.ts';
import { WREN } from '../../support/page-gallery/fixtures.ts';
import { lostPage } from '../../support/page-state.ts';

const shown: object[] = [];
beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});
afterEach(async () => {
  for (const component of shown.splice(0)) await unmount(component);
  document.body.replaceChildren();
  location.hash = '';
});

/** A word is a token. */
const meter: PromptMeter = {
  maxPositions: 512,
  count: (messages) => messages.reduce((sum, { content }) => sum + content.split(' ').length, 0),
};

/** The Ask view over the conversations of the gallery, whose volunteers tell a story `repeat` times as long. */
async function show(widthPx: number, repeat = 1) {
  await screen.viewport(widthPx, 800);
  const settings = new Settings(localStorage);
  const [models, clock] = [new Models(() => Promise.resolve([WREN]), settings), pageClock()];
  const store = memoryConversationStore();
  for (const each of keptConversations(Date.now())) await store.conversations.put(each.id, each);
  const conversation = new Dialogue({
    ...{ models, settings, clock, prefetch: () => undefined },
    kept: new KeptConversations(store),
    tab: openInTab(sessionStorage),
    random: (count) => crypto.getRandomValues(new Uint8Array(count)),
    openChat: () =>
      Promise.resolve({
        async *answer() {
          yield* storyEvents(repeat);
        },
        close: () => undefined,
      }),
  });
  const gauge = new ContextGauge({ clock, openMeter: () => Promise.resolve(meter) });
  const target = document.createElement('div');
  target.id = 'app';
  document.body.append(target);
  const page = lostPage({ settings, models, conversation, gauge });
  shown.push(mount(App, { target, props: { page } }));
  flushSync();
  await expect.poll(() => conversation.kept.total).toBe(7);
  await expect.poll(() => models.chosen).not.toBeNull();
  return { target, conversation, page };
}

async function expectAccessible(): Promise<void> {
  // What slides in is pale until it is there.
  const passing = document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().endTime !== Infinity);
  await Promise.allSettled(passing.map(({ finished }) => finished));
  const { violations } = await axe.run(document.body);
  expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id)).toEqual(
    [],
  );
}

const overflowPx = (): number => document.documentElement.scrollWidth - window.innerWidth;

test('beside the talk is the list: a search narrows it, a link opens one, and its address leads back to it', async () => {
  const { conversation } = await show(1440);
  const list = screen.getByRole('navigation', { name: 'Conversations' });
  expect(list.getByRole('link').elements()).toHaveLength(7);
  await expectAccessible();
  await list.getByRole('searchbox').fill('wrens');
  expect(
    list
      .getByRole('link')
      .elements()
      .map(({ textContent }) => textContent.trim()),
  ).toEqual(['How do wrens build their nests?']);
  await list.getByRole('link', { name: 'How do wrens' }).click();
  await expect.element(screen.getByRole('heading', { level: 1, name: 'How do wrens' })).toBeVisible();
  expect(location.hash).toBe(`#/chats/${conversation.id}`);
  expect(document.title).toContain('How do wrens');
  await list.getByRole('button', { name: 'New conversation' }).click();
  await expect.element(screen.getByRole('heading', { name: 'Ask the chorus' })).toBeVisible();
  expect(location.hash).toBe('#/');
  history.back();
  await expect.element(screen.getByRole('heading', { level: 1, name: 'How do wrens' })).toBeVisible();
});

test('the bare address begins a new conversation beside one, and leads back to it from another view', async () => {
  const { conversation } = await show(1440);
  await conversation.send('What is a wren?');
  const address = `#/chats/${conversation.id}`;
  await expect.poll(() => location.hash).toBe(address);
  location.hash = '#/verify';
  await expect.element(screen.getByRole('heading', { name: 'Verify a receipt' })).toBeVisible();
  await screen.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Ask' }).click();
  await expect.poll(() => location.hash).toBe(address);
  await screen.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Ask' }).click();
  await expect.element(screen.getByRole('heading', { name: 'Ask the chorus' })).toBeVisible();
  expect([location.hash, conversation.turns.length]).toEqual(['#/', 0]);
  history.back();
  await expect.element(screen.getByRole('heading', { level: 1, name: 'What is a wren?' })).toBeVisible();
});

test('one is renamed, and deleted once that was said twice', async () => {
  const { conversation } = await show(1440);
  const list = screen.getByRole('navigation', { name: 'Conversations' });
  await list.getByRole('button', { name: /More about “Who are you/ }).click();
  await list.getByRole('button', { name: 'Rename' }).click();
  await expect.element(list.getByRole('textbox', { name: 'Title' })).toHaveFocus();
  await userEvent.keyboard('{Control>}a{/Control}A wren{Enter}');
  await expect.element(list.getByRole('link', { name: 'A wren' })).toBeVisible();
  await list.getByRole('button', { name: /More about “A wren/ }).click();
  await list.getByRole('button', { name: 'Delete' }).click();
  await expectAccessible();
  await list.getByRole('button', { name: 'Keep' }).click();
  expect(conversation.kept.total).toBe(7);
  await list.getByRole('button', { name: /More about “A wren/ }).click();
  await list.getByRole('button', { name: 'Delete' }).click();
  await list.getByRole('button', { name: 'Delete for good' }).click();
  await expect.poll(() => conversation.kept.total).toBe(6);
  await expect.element(list.getByRole('searchbox')).toHaveFocus();
});

test('on a telephone the list is in a drawer, which Escape closes', async () => {
  await show(360);
  const opener = screen.getByRole('button', { name: 'Conversations' });
  await opener.click();
  const drawer = screen.getByRole('dialog', { name: 'Conversations' });
  expect(drawer.getByRole('link').elements()).toHaveLength(7);
  await expectAccessible();
  expect(overflowPx()).toBeLessThanOrEqual(0);
  await userEvent.keyboard('{Escape}');
  await expect.element(opener).toHaveFocus();
  await opener.click();
  await drawer.getByRole('link', { name: 'Who are you' }).click();
  await expect.element(screen.getByRole('heading', { level: 1, name: 'Who are you?' })).toBeVisible();
  await expect.element(drawer).not.toBeInTheDocument();
});

test.for([360, 1440])('at %i px a question is edited where it stands, and its versions stay', async (widthPx) => {
  const { conversation } = await show(widthPx);
  await conversation.send('one');
  await conversation.send('two');
  const edit = () => screen.getByRole('button', { name: 'Edit this question' }).first();
  await edit().click();
  const field = screen.getByRole('textbox', { name: 'Edit the question' });
  await expect.element(field).toHaveFocus();
  await expectAccessible();
  expect(overflowPx()).toBeLessThanOrEqual(0);
  await field.fill('something else');
  await screen.getByRole('button', { name: 'Cancel' }).click();
  expect(conversation.turns.map(({ question }) => question)).toEqual(['one', 'two']);
  await expect.element(edit()).toHaveFocus();
  await edit().click();
  await field.fill('another one');
  await userEvent.keyboard('{Enter}');
  await expect.poll(() => conversation.turns.map(({ question }) => question)).toEqual(['another one']);
  await expect.poll(() => conversation.isRunning).toBe(false);
  await screen.getByRole('button', { name: 'Earlier version' }).click();
  expect(conversation.turns.map(({ question }) => question)).toEqual(['one', 'two']);
  expect(screen.getByRole('group', { name: 'Versions of this question' }).element().textContent).toContain('1 / 2');
});

test.for([360, 1440])('at %i px all that goes with an answer is in one row', async (widthPx) => {
  const { conversation, target } = await show(widthPx);
  await conversation.send('one');
  flushSync();
  const row = target.querySelector<HTMLElement>('.footer')!;
  expect(row.getBoundingClientRect().height).toBeLessThan(45);
  expect(row.scrollWidth).toBeLessThanOrEqual(row.clientWidth);
  expect(overflowPx()).toBeLessThanOrEqual(0);
});

test('the meter says before sending what is used, and offers to leave out the oldest turns', async () => {
  const { conversation } = await show(1440, 5);
  await conversation.send('one');
  conversation.draft = 'two';
  const meterText = () => document.querySelector<HTMLElement>('[data-fit]')?.innerText ?? '';
  await expect.poll(meterText).toMatch(/2[5-9]\d of 512 tokens/);
  await conversation.send('two');
  conversation.draft = 'three';
  await expect
    .poll(meterText)
    .toMatch(/Over 512 tokens\s+The model reads 512 tokens, its answer included\. Leave out the/);
  await expectAccessible();
  await screen.getByRole('button', { name: /^Leave out the oldest turn, for 2\d\d tokens of answer/ }).click();
  await expect.poll(meterText).toMatch(/The oldest turn is left out/);
  await screen.getByRole('textbox', { name: 'Your question' }).click();
  await userEvent.keyboard('{Enter}');
  await expect.poll(() => conversation.turns.length).toBe(3);
  expect(conversation.last?.leftOut).toBe(1);
  expect(document.querySelector('ol')?.innerText).toContain('The model does not see what is above this line any more.');
});

test('a first question that is too long is not sent, and stays to be shortened', async () => {
  const { conversation, page } = await show(1440);
  conversation.draft = 'word '.repeat(600);
  const field = screen.getByRole('textbox', { name: 'Your question' });
  await expect
    .poll(() => document.querySelector('[data-fit=over]')?.textContent ?? '')
    .toContain('Shorten the question');
  await field.click();
  await userEvent.keyboard('{Enter}');
  // Measured after what Enter had measured.
  await page.gauge.measure(WREN.digest, conversation.asking(conversation.draft));
  expect([conversation.turns, conversation.draft.length]).toEqual([[], 3000]);
});

test('the address of a conversation that is not on this device says so', async () => {
  location.hash = '#/chats/ffffffffffffffff';
  await show(1440);
  await expect.element(screen.getByRole('heading', { name: 'This conversation is not here' })).toBeVisible();
  await expectAccessible();
});
