import { expect, it } from 'vitest';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { defaultPledge, lentByAnchors } from '../../../signal-server/machine/machine-memory.ts';

const GIB = 2 ** 30;

it('anchors lend half of the machine’s memory together, each at least what a small stage needs and at most 4 GiB', () => {
  expect(defaultPledge(4, 8 * GIB)).toBe(GIB);
  expect(defaultPledge(2, 8 * GIB)).toBe(2 * GIB);
  expect(defaultPledge(4, GIB)).toBe(GIB / 4);
  expect(defaultPledge(1, 64 * GIB)).toBe(4 * GIB);
});

it('anchors lend what the operator says', () => {
  expect(lentByAnchors(parseConfig({ anchorPledge: '700', anchorSlots: '2' }))).toEqual({
    pledgeBytes: 700 * 2 ** 20,
    slots: 2,
  });
});
