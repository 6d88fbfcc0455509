import axe from 'axe-core';
import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { page as screen, userEvent } from 'vitest/browser';
import App from '../../../web/App.svelte';
import '../../../web/app.css';
import { navigationPath, VIEWS, type View } from '../../../web/views/registry.ts';
import type { PageState } from '../../../web/state/page-context.ts';
import { lostPage } from '../../support/page-state.ts';

const FILES = import.meta.glob<{ default: View['component'] }>('../../../web/views/*.svelte', { eager: true });

let target: HTMLElement;
let page: PageState | null = null;
let app: object | null = null;
beforeEach(async () => {
  localStorage.clear();
  await screen.viewport(900, 600);
});
afterEach(async () => {
  if (app !== null) await unmount(app);
  app = null;
  page?.network.stop();
  page = null;
  document.body.replaceChildren();
  await goTo('/');
});

/** The page at one of its addresses, with a foot so far down that every view can be scrolled. */
async function open(path: string): Promise<void> {
  await goTo(path);
  target = document.createElement('div');
  target.id = 'app';
  target.style.minHeight = '4000px';
  document.body.append(target);
  page = lostPage();
  app = mount(App, { target, props: { page } });
  flushSync();
  await expect.poll(heading).not.toBeNull();
}

/** The router knows of an address once the browser has told it. */
async function goTo(path: string): Promise<void> {
  if (location.hash === `#${path}`) return;
  const told = new Promise((resolve) => window.addEventListener('hashchange', resolve, { once: true }));
  location.hash = path;
  await told;
}

const heading = () => target.querySelector('h1');
const link = (name: string) =>
  [...target.querySelectorAll<HTMLAnchorElement>('nav a')].find(({ innerText }) => innerText.trim() === name)!;
/** Resolves once the page shows a view with this heading and has moved the focus to it. */
const arrival = (text: string) =>
  expect.poll(() => document.activeElement === heading() && heading()?.innerText.trim()).toBe(text);
const addressOf = ({ path }: View) => path.replace(/:\w+/, 'a'.repeat(64));

describe('the registry of views', () => {
  test('has every file of web/views, each once', () => {
    const files = Object.values(FILES).map((file) => file.default);
    expect(files.length).toBeGreaterThan(5);
    expect(new Set(VIEWS.map(({ component }) => component))).toEqual(new Set(files));
    expect(VIEWS.length).toBe(files.length);
    expect(new Set(VIEWS.map(({ path }) => path)).size).toBe(files.length);
  });

  test('places every view in the navigation or under a view that is there', () => {
    const signs = VIEWS.filter(({ place }) => 'icon' in place).map(({ path }) => path);
    for (const view of VIEWS) expect(signs).toContain(navigationPath(view));
  });

  test.for(VIEWS)(
    'shows $path with one heading, its title and its place in the navigation, for everyone to use',
    async (view) => {
      await open(addressOf(view));
      await expect.poll(() => document.title).toMatch(new RegExp(`^${view.name}.* · Chorus$`));
      expect(target.querySelectorAll('h1').length).toBe(1);
      const marked = [...target.querySelectorAll('nav [aria-current=page]')];
      expect(marked.map((each) => each.getAttribute('href'))).toEqual([`#${navigationPath(view)}`]);
      const { violations } = await axe.run(target);
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
      const asides = [...target.querySelectorAll('aside')];
      expect(asides.filter((each) => !each.hasAttribute('aria-label'))).toEqual([]);
    },
  );

  test('shows the first view at an address that is none', async () => {
    await open('/nowhere/at/all');
    expect(heading()?.innerText).toBe('Ask the chorus');
    await expect.poll(() => document.title).toBe('Ask · Chorus');
  });
});

describe('a change of view', () => {
  test('leaves the focus alone when the page is opened', async () => {
    await open('/network');
    await expect.poll(() => document.title).toBe('Network · Chorus');
    expect(document.activeElement).toBe(document.body);
  });

  test('moves the focus to the heading, whence Tab goes on into the view', async () => {
    await open('/');
    link('Verify').focus();
    await userEvent.keyboard('{Enter}');
    await arrival('Verify a receipt');
    expect(document.title).toBe('Verify · Chorus');
    expect(getComputedStyle(heading()!).outlineStyle).toBe('none');
    await userEvent.keyboard('{Tab}');
    const next = document.activeElement!;
    expect(target.querySelector('main')!.contains(next)).toBe(true);
    expect(heading()!.compareDocumentPosition(next) & Node.DOCUMENT_POSITION_FOLLOWING).toBeTruthy();
  });

  test('is told once: the heading has the focus, and no live region says its words', async () => {
    await open('/');
    await page?.network.refresh();
    link('Receipts').click();
    await arrival('Receipts');
    const live = [...target.querySelectorAll('[aria-live], [role=status], [role=alert]')];
    expect(live.filter(({ textContent }) => textContent.includes('Receipts'))).toEqual([]);
  });

  test('does the same by the button that goes back', async () => {
    await open('/log');
    link('Network').click();
    await arrival('The network');
    history.back();
    await arrival('The log');
    expect(document.title).toBe('The log · Chorus');
  });

  test('begins at the top, and goes back to where a view was left', async () => {
    await open('/log');
    await scrollTo(1234);
    link('Network').click();
    await arrival('The network');
    expect(window.scrollY).toBe(0);
    await scrollTo(77);
    history.back();
    await arrival('The log');
    expect(window.scrollY).toBe(1234);
    history.forward();
    await arrival('The network');
    expect(window.scrollY).toBe(77);
  });

  test('is none where only the filters of a view change', async () => {
    await open('/receipts');
    await expect.poll(() => document.title).toBe('Receipts · Chorus');
    const filter = target.querySelector<HTMLOptionElement>('option[value=checked]')!.closest('select')!;
    filter.focus();
    await scrollTo(50);
    filter.value = 'checked';
    filter.dispatchEvent(new Event('change', { bubbles: true }));
    await expect.poll(() => location.hash).toBe('#/receipts?tier=checked');
    await expect.poll(() => target.innerText).toContain('Show all');
    expect(document.activeElement).toBe(filter);
    expect(window.scrollY).toBe(50);
  });
});

async function scrollTo(top: number): Promise<void> {
  const scrolled = new Promise((resolve) => window.addEventListener('scroll', resolve, { once: true }));
  window.scrollTo({ top, behavior: 'instant' });
  await scrolled;
}
