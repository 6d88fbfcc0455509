import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { KeptFiles } from '../../../web/state/kept-files.svelte.ts';

/** Over a store that keeps blobs of these sizes, the first `used` of them in use. */
function setUp(sizes: readonly number[], used = 0) {
  let blobs = sizes.map((storedBytes, i) => ({ digest: `${i}` as Digest, storedBytes, totalBytes: storedBytes }));
  const counts = { opened: 0, closed: 0 };
  const kept = new KeptFiles(() => {
    counts.opened++;
    return Promise.resolve({
      list: () => Promise.resolve(blobs),
      removeUnused: () => {
        const removed = blobs.slice(used);
        blobs = blobs.slice(0, used);
        return Promise.resolve(removed.reduce((sum, { storedBytes }) => sum + storedBytes, 0));
      },
      close: () => counts.closed++,
    });
  });
  return { kept, counts };
}

test('what is kept is counted, and the store closed after it', async () => {
  const { kept, counts } = setUp([4_000_000, 2_000_000]);
  expect(kept.bytes).toBeNull();
  await kept.look();
  expect(kept.bytes).toBe(6_000_000);
  expect(counts).toEqual({ opened: 1, closed: 1 });
});

test.for([
  [[4_000_000], 0, 0, 4_000_000],
  [[4_000_000, 1_000_000], 1, 4_000_000, 1_000_000],
  [[4_000_000], 1, 4_000_000, 0],
  [[], 0, 0, 0],
] as const)(
  'clearing %j of which %i are in use leaves %i and removes %i',
  async ([sizes, used, left, removedBytes]) => {
    const { kept } = setUp(sizes, used);
    await kept.clear();
    const outcome = { removedBytes, leftBytes: left };
    expect([kept.bytes, kept.outcome, kept.isClearing]).toEqual([left, outcome, false]);
  },
);

test('where the browser keeps nothing, nothing is counted, and clearing says why not', async () => {
  const kept = new KeptFiles(() => Promise.reject(new ChorusError('unsupported', 'no store')));
  await kept.look();
  await kept.clear();
  expect([kept.bytes, kept.isClearing]).toEqual([null, false]);
  expect(kept.outcome).toMatchObject({ code: 'unsupported', message: 'no store' });
});
