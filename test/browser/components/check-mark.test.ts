import { flushSync, mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import CheckMark from '../../../web/components/answer/CheckMark.svelte';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import type { ChatEvent } from '../../../web/state/conversation/chat.ts';
import {
  bareEvents,
  disputedEvents,
  liarEvents,
  settledEvents,
  settlingEvents,
  storyEvents,
} from '../../support/page-gallery/check-fixtures.ts';
import { networkSnapshot } from '../../support/page-gallery/fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

/** The mark of an answer after these events, opened. */
function open(events: readonly ChatEvent[]): HTMLElement {
  const answer = new ShownAnswer(0);
  for (const event of events) answer.apply(event, 10);
  const target = document.createElement('div');
  document.body.append(target);
  const { volunteers } = networkSnapshot(0);
  const kindOf = (id: string) => volunteers.find((volunteer) => volunteer.id === id)?.kind ?? null;
  shown.push(mount(CheckMark, { target, props: { answer, kindOf, span: null } }));
  target.querySelector('button')?.click();
  flushSync();
  return target;
}

function cells(target: HTMLElement): HTMLElement[] {
  return [...target.querySelectorAll<HTMLElement>('[data-cell]')];
}

function press(cell: HTMLElement, key: string): void {
  cell.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  flushSync();
}

test('has a cell for each stage and stretch of positions, and says each one’s verdict in words', () => {
  const labels = cells(open(storyEvents())).map((cell) => cell.getAttribute('aria-label'));
  expect(labels).toHaveLength(6);
  expect(labels[0]).toBe('embedding + layers 0–3, positions 0–31: checked');
  expect(labels[5]).toBe('layers 4–7 + head, positions 64–78: checked');
});

test('shows who ran a chunk and who re-ran it, on what, and how close they came against which limit', () => {
  const text = open(storyEvents()).innerText;
  expect(text).toMatch(/3c6ef362\s*ran it\s*WebGPU · nvidia\/ampere, anchor/);
  expect(text).toMatch(/17156075\s*re-ran it, agreed within tolerance\s*WASM, tab/);
  expect(text).toMatch(/typical\s*0\.0021 %[\s,]*of 0\.020 %/);
  expect(text).toContain('Two volunteers computed this chunk separately and agreed within tolerance.');
});

test('says that bits are equal where they are, and draws no distances then', () => {
  const target = open(storyEvents());
  cells(target)[3]?.click();
  flushSync();
  expect(target.innerText).toContain('re-ran it, every bit the same');
  expect(target.innerText).not.toContain('typical');
});

test('begins with the chunk that most wants to be looked at', () => {
  expect(open(disputedEvents()).querySelector('[aria-pressed=true]')?.getAttribute('aria-label')).toContain('disputed');
  expect(open(settledEvents()).innerText).toMatch(/538453d7\s*decided, as third/);
});

test('arrow keys go from cell to cell, and one of them is in the order of tabs', () => {
  const target = open(storyEvents());
  const [first] = cells(target);
  first?.focus();
  press(first!, 'ArrowDown');
  press(document.activeElement as HTMLElement, 'ArrowRight');
  expect(document.activeElement?.getAttribute('aria-label')).toBe('layers 4–7 + head, positions 32–63: checked');
  expect(cells(target).filter((cell) => cell.tabIndex === 0)).toEqual([document.activeElement]);
  press(document.activeElement as HTMLElement, 'ArrowDown');
  expect(document.activeElement?.getAttribute('aria-pressed')).toBe('true');
});

test('Escape closes the mark from within and gives its button the focus back', () => {
  const target = open(storyEvents());
  const button = target.querySelector('button');
  cells(target)[2]?.focus();
  press(document.activeElement as HTMLElement, 'Escape');
  expect(button?.getAttribute('aria-expanded')).toBe('false');
  expect(document.activeElement).toBe(button);
  expect(cells(target)).toEqual([]);
});

test('explains the signs that occur, and no others', () => {
  const key = open(settledEvents()).querySelector('.key');
  expect(key?.textContent).toMatch(/every bit the same\s*within tolerance\s*settled by a third/);
  expect(key?.textContent).not.toContain('differed');
});

test('says honestly where the limits were not measured', () => {
  expect(open(storyEvents()).innerText).toContain('The limits come from honest runs of these two kinds of device.');
  expect(open(liarEvents()).innerText).toContain('have not been measured yet, so cautious limits of their family');
});

test('begins on the route that the text is from, not on one that was given up', () => {
  const target = open(liarEvents());
  const last = [...target.querySelectorAll('table')].at(-1);
  expect(last?.querySelectorAll('[aria-pressed=true]')).toHaveLength(1);
});

test('shows the work that was thrown away on the route that was given up', () => {
  const target = open(liarEvents());
  expect(target.innerText).toContain('Route 1, given up');
  expect(target.querySelector('.fault')?.getAttribute('title')).toContain(
    'computed stage 1 (embedding + layers 0–3) wrongly',
  );
});

test('shows which chunk is being settled', () => {
  expect(open(settlingEvents()).querySelectorAll('.settling')).toHaveLength(1);
});

test('says what a check does not show', () => {
  expect(open(bareEvents()).innerText).toContain('It does not show that what the model says is true');
});

test('there is nothing to open before the first check', () => {
  const target = open(storyEvents().slice(0, 5));
  expect(target.querySelector('button')?.disabled).toBe(true);
});
