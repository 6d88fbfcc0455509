import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, test } from 'vitest';
import PathSwitch from '../../../web/components/network/PathSwitch.svelte';
import { PathChoice } from '../../../web/state/path-choice.svelte.ts';

let shown: object | null = null;
beforeEach(() => localStorage.clear());
afterEach(() => {
  if (shown !== null) void unmount(shown);
  shown = null;
  document.body.replaceChildren();
});

function show(path: PathChoice): HTMLInputElement {
  shown = mount(PathSwitch, { target: document.body, props: { path } });
  return document.querySelector('[role=switch]')!;
}

test('the operator’s default holds until the page’s owner chooses, and the choice from then on', () => {
  const path = new PathChoice(localStorage);
  const control = show(path);
  expect([path.isKnown, path.isRelayOnly, control.checked]).toEqual([false, false, false]);
  path.relayByDefault = true;
  flushSync();
  expect([path.isKnown, path.isRelayOnly, control.checked]).toEqual([true, true, true]);
  let choices = 0;
  path.onChoice(() => choices++);
  control.click();
  flushSync();
  expect([path.isRelayOnly, choices]).toEqual([false, 1]);
  const later = new PathChoice(localStorage);
  later.relayByDefault = true;
  expect([later.isKnown, later.isRelayOnly]).toEqual([true, false]);
});

test('it says beside the switch what it hides, what it costs, and who could read', () => {
  const control = show(new PathChoice(localStorage));
  const cost = document.getElementById(control.getAttribute('aria-describedby')!)!.innerText;
  for (const word of ['network address', 'one hop more', 'operator could read']) expect(cost).toContain(word);
});

test('a stored choice that is none is the operator’s', () => {
  localStorage.setItem('chorus.path', '{"relayOnly":"yes"}');
  const path = new PathChoice(localStorage);
  path.relayByDefault = true;
  expect(path.isRelayOnly).toBe(true);
});
