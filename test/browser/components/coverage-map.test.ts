import { mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import CoverageMap from '../../../web/components/network/CoverageMap.svelte';
import { peer } from '../../support/page-gallery/fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

function show(
  layers: number[],
  holders: { start: number; end: number; embedding: boolean; head: boolean }[] = [],
): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  const props = {
    name: 'wren',
    coverage: { embedding: 1, layers, head: 2 },
    holders: holders.map((range, i) => ({ id: peer(i + 1), range, isReady: true })),
  };
  shown.push(mount(CoverageMap, { target, props }));
  return target;
}

test('says runs of equal counts together, for those who do not see it', () => {
  const label = show([2, 2, 0, 1]).querySelector('[role=img]')?.getAttribute('aria-label');
  expect(label).toBe(
    'Who holds wren: embedding 1, layers 0 to 1 2 volunteers, layer 2 0 volunteers, layer 3 1 volunteer, head 2',
  );
});

test('marks layers that nobody holds', () => {
  expect([...show([2, 0, 0]).querySelectorAll('.none')].map((cell) => cell.textContent)).toHaveLength(2);
});

test('draws a volunteer’s bar under its own layers', () => {
  const bars = show(
    [1, 1],
    [
      { start: 0, end: 1, embedding: true, head: false },
      { start: 1, end: 2, embedding: false, head: true },
      { start: 2, end: 2, embedding: false, head: true },
    ],
  ).querySelectorAll<HTMLElement>('.bars li');
  expect([...bars].map((bar) => bar.style.gridColumn)).toEqual(['1 / 3', '3 / 5', '4 / 5']);
});

test('a crowd is cut short and counted', () => {
  const crowd = Array.from({ length: 20 }, () => ({ start: 0, end: 1, embedding: false, head: false }));
  const target = show([20], crowd);
  expect(target.querySelectorAll('.bars li')).toHaveLength(12);
  expect(target.innerText).toContain('and 8 more');
});
