import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { userEvent } from 'vitest/browser';
import Composer from '../../../web/components/answer/Composer.svelte';

let shown: object | null = null;
let target: HTMLElement;
const seen = { sent: 0, stopped: 0 };
beforeEach(() => {
  Object.assign(seen, { sent: 0, stopped: 0 });
  target = document.createElement('div');
  document.body.append(target);
});
afterEach(async () => {
  if (shown !== null) await unmount(shown);
  shown = null;
  document.body.replaceChildren();
});

function show({ text = '', isRunning = false, asked = [] as string[] } = {}): HTMLTextAreaElement {
  const props = { text, isRunning, asked, onSend: () => seen.sent++, onStop: () => seen.stopped++ };
  shown = mount(Composer, { target, props });
  flushSync();
  const field = target.querySelector('textarea')!;
  field.focus();
  return field;
}

/** A key as a browser tells of it while, or just after, an input method composes. */
function press(field: HTMLElement, key: string, told: { isComposing: boolean; keyCode: number }): boolean {
  field.dispatchEvent(new CompositionEvent('compositionend', { data: 'にほん', bubbles: true }));
  return field.dispatchEvent(new KeyboardEvent('keydown', { key, ...told, bubbles: true, cancelable: true }));
}

const WHILE_COMPOSING = [
  ['Chromium tells it', { isComposing: true, keyCode: 229 }],
  ['Safari tells it, after the composition has ended', { isComposing: false, keyCode: 229 }],
] as const;

describe.each(WHILE_COMPOSING)('a key that belongs to an input method, as %s', (_, told) => {
  test('Enter does not send, and is left to the input method', () => {
    const field = show({ text: 'にほん' });
    expect(press(field, 'Enter', told)).toBe(true);
    expect(seen.sent).toBe(0);
  });

  test('Escape does not stop the answer', () => {
    press(show({ text: 'にほん', isRunning: true }), 'Escape', told);
    expect(seen.stopped).toBe(0);
  });

  test('the arrows bring no earlier question', () => {
    const field = show({ asked: ['first'] });
    press(field, 'ArrowUp', told);
    flushSync();
    expect(field.value).toBe('');
  });
});

test('Enter sends once the text stands, and Shift with it breaks the line', async () => {
  const field = show({ text: 'にほん' });
  press(field, 'Enter', { isComposing: false, keyCode: 13 });
  expect(seen.sent).toBe(1);
  await userEvent.keyboard('{Shift>}{Enter}{/Shift}');
  expect([seen.sent, field.value]).toEqual([1, 'にほん\n']);
});

test('Escape stops an answer that is being made, from wherever nothing else is done with it', async () => {
  show({ isRunning: true });
  await userEvent.keyboard('{Escape}');
  expect(seen.stopped).toBe(1);
  (document.activeElement as HTMLElement).blur();
  await userEvent.keyboard('{Escape}');
  expect(seen.stopped).toBe(2);
  const other = document.createElement('input');
  document.body.append(other);
  other.focus();
  await userEvent.keyboard('{Escape}');
  expect(seen.stopped).toBe(2);
});

test('Escape does nothing while no answer is being made', async () => {
  show();
  await userEvent.keyboard('{Escape}');
  expect(seen.stopped).toBe(0);
});

test('the arrows bring earlier questions and the empty field back', async () => {
  const field = show({ asked: ['first', 'second'] });
  const values: string[] = [];
  for (const key of ['ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowDown', 'ArrowDown', 'ArrowDown']) {
    await userEvent.keyboard(`{${key}}`);
    values.push(field.value);
  }
  expect(values).toEqual(['second', 'first', 'first', 'second', '', '']);
});

test('the arrows leave a text alone that is being written, or was changed since it was brought back', async () => {
  const field = show({ text: 'mine', asked: ['first', 'second'] });
  await userEvent.keyboard('{ArrowUp}');
  expect(field.value).toBe('mine');
  await userEvent.clear(field);
  await userEvent.keyboard('{ArrowUp}{End}!{ArrowUp}');
  expect(field.value).toBe('second!');
});
