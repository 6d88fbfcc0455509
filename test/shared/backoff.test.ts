import { expect, it } from 'vitest';
import { backoffMs } from '#shared/backoff.ts';

const limits = { firstMs: 500, maxMs: 30_000 };

it('waits twice as long after each failure in a row, up to the longest delay', () => {
  const delays = [1, 2, 3, 6, 7, 8, 2_000].map((failures) => backoffMs(failures, limits));
  expect(delays).toEqual([500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000]);
});

it('leaves half of the delay to chance where there is a source of it', () => {
  const withByte = (byte: number) => backoffMs(3, { ...limits, random: () => Uint8Array.of(byte) });
  expect([withByte(0), withByte(51), withByte(255)]).toEqual([1_000, 1_200, 2_000]);
});
