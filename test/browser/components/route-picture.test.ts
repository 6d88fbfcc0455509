import { flushSync, mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import RoutePicture from '../../../web/components/answer/RoutePicture.svelte';
import { toRouteView } from '../../../web/words/route-view.ts';
import { settledCheck, spanCheck } from '../../support/page-gallery/check-fixtures.ts';
import { BARE_ROUTE, ROUTE, WREN } from '../../support/page-gallery/fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

function show(facts: Partial<Parameters<typeof toRouteView>[0]> = {}, isLive = false): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  const view = toRouteView({
    route: ROUTE,
    links: [],
    stageTimes: [],
    wireMs: null,
    lapMs: null,
    checks: [],
    faults: [],
    ...facts,
  });
  shown.push(mount(RoutePicture, { target, props: { view, layers: WREN.layers, isLive } }));
  flushSync();
  return target;
}

test('names each stage’s layers, volunteer, device and the way to it', () => {
  const [you, first, second, home] = [...show().querySelectorAll<HTMLElement>('ol > li')].map((item) => item.innerText);
  expect(you).toContain('This page');
  expect(first).toMatch(/direct where possible[^]*3c6ef362[^]*nvidia\/ampere[^]*embedding \+ layers 0–3/);
  expect(second).toMatch(/through the relay[^]*daa66d13[^]*WASM[^]*layers 4–7 \+ head/);
  expect(home).toContain('Back here');
});

test('shows each stage’s time, and its waiting only where it matters', () => {
  const stageTimes = [
    { onward: null, queueMs: 0.1, runMs: 4.2 },
    { onward: null, queueMs: 1.4, runMs: 7 },
  ];
  const text = show({ stageTimes, wireMs: 5, lapMs: 17.7 }).innerText;
  expect(text).toMatch(/4\.2 ms/);
  expect(text).toMatch(/7\.0 ms\s+and 1\.4 ms waiting/);
  expect(text).not.toContain('0.1 ms waiting');
  expect(text).toMatch(/one token\s*18 ms\s*5\.0 ms of it on the wire/);
});

test('moves only while tokens go round', () => {
  expect(show({}, true).querySelectorAll('.live')).toHaveLength(3);
  expect(show({}, false).querySelectorAll('.live')).toHaveLength(0);
});

test('says what the scheduler could not grant', () => {
  expect(show().innerText).toContain(ROUTE.notes[0]);
});

test('shows who re-runs each stage and what that came to', () => {
  const checks = [spanCheck(ROUTE, 0, 32), settledCheck(32, 64)];
  const [first, second] = [...show({ checks }).querySelectorAll<HTMLElement>('.shadow')].map((item) => item.innerText);
  expect(first).toMatch(/17156075\s*agreed on 2 chunks/);
  expect(second).toMatch(/b54cda26\s*differed/);
});

test('a shadow that failed is left out, and a stage without one says so', () => {
  const [shadow] = ROUTE.stages[0]!.shadows;
  const fault = { volunteer: shadow!.id, stage: 0, role: 'shadow', code: 'too-slow', start: 0, end: 32 } as const;
  expect(show({ faults: [{ ...fault, isProven: false, range: null }] }).innerText).toContain('left out');
  expect(show({ route: BARE_ROUTE }).innerText.match(/nobody re-runs this stage/g)).toHaveLength(2);
});
