import { describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { checkRows, takeSeat, type LoadedRange, type Seat } from '#shared/replica/admission.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { codeOf } from '../../support/code-of.ts';
import { leaseOf } from '../../support/leases.ts';
import { toyDigest, toyManifest } from '../../support/toy-model.ts';
import { toyRanges } from '../../support/toy-network.ts';

const peer = 'a'.repeat(64) as PeerId;
const seat: Seat = {
  ...{ stage: 1, stages: 3, role: 'shadow', requester: peer, upstream: peer, forward: null, shadows: [] },
};
const { hiddenSize } = toyManifest.config;

/** The output of a stage for two hidden rows, all ones but for the last number, whose bits these are. */
function codeFor(boundary: 'f16' | 'f32', lastBits: number): string {
  const pins = { ...toyManifest.pins, boundary };
  const loaded: LoadedRange = { model: toyDigest, range: toyRanges[1]!, manifest: { ...toyManifest, pins } };
  const values = 2 * hiddenSize;
  const bytes = new Uint8Array(values * (boundary === 'f16' ? 2 : 4));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values; i++) {
    const isLast = i === values - 1;
    if (boundary === 'f16') view.setUint16(2 * i, isLast ? lastBits : 0x3c00, true);
    else view.setUint32(4 * i, isLast ? lastBits : 0x3f800000, true);
  }
  const message = rowsMessage({
    ...{ session: '0'.repeat(32) as SessionId, stage: 1, epoch: 0, sequence: 0, chunk: 0, logitsFrom: 2, hops: [] },
    rows: { kind: 'hidden', start: 0, count: 2, bytes },
  });
  return codeOf(() => checkRows(message, seat, loaded, 512));
}

describe('hidden rows', () => {
  it.each([
    ['f32', 'NaN', 0x7fc00000],
    ['f32', 'a NaN with the sign set', 0xffc00001],
    ['f32', 'infinity', 0x7f800000],
    ['f32', 'minus infinity', 0xff800000],
    ['f16', 'NaN', 0x7e00],
    ['f16', 'infinity', 0x7c00],
    ['f16', 'minus infinity', 0xfc00],
  ] as const)('of %s are refused with %s in them', (boundary, _, bits) => {
    expect(codeFor(boundary, bits)).toBe('bad-message');
  });

  it.each([
    ['f32', 'the largest number', 0x7f7fffff],
    ['f32', 'minus zero', 0x80000000],
    ['f32', 'the smallest number', 0x00000001],
    ['f16', 'the largest number', 0x7bff],
    ['f16', 'the smallest number', 0x8001],
  ] as const)('of %s are taken with %s in them', (boundary, _, bits) => {
    expect(codeFor(boundary, bits)).toBe('no error');
  });
});

describe('a seat', () => {
  const [requester, first, second, shadow, otherShadow] = ['a', 'b', 'c', 'd', 'e'].map(
    (digit) => digit.repeat(64) as PeerId,
  ) as [PeerId, PeerId, PeerId, PeerId, PeerId];
  const route = leaseOf({
    ...{ requester, stages: [[first], [second, shadow, otherShadow]], model: toyDigest, ranges: toyRanges },
  }).route;
  const loaded: LoadedRange = { model: toyDigest, range: toyRanges[1]!, manifest: toyManifest };
  const request = { session: route.session, stage: 1, from: first, route };

  it.each([
    ['the primary', second, 'primary'],
    ['a shadow', shadow, 'shadow'],
    ['another shadow', otherShadow, 'shadow'],
  ])('is taken by %s that the route names', (_, self, role) => {
    expect(takeSeat(request, self, loaded, 0)).toMatchObject({ role, requester, upstream: first });
  });

  it.each([
    ['names for another stage', first, {}],
    ['does not name', 'f'.repeat(64) as PeerId, {}],
    ['names, where another peer than the one before it asks', shadow, { from: requester }],
  ])('is refused to a volunteer that the route %s', (_, self, change) => {
    expect(codeOf(() => takeSeat({ ...request, ...change }, self, loaded, 0))).toBe('unrouted');
  });
});
