import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import { CLOCK_SKEW_MS } from '#shared/limits.ts';
import { checkRows, takeSeat, type LoadedRange, type OpenRequest, type Seat } from '#shared/replica/admission.ts';
import { openSeat } from '#shared/route/open-signed.ts';
import { ROUTE_PAYLOAD_TYPE } from '#shared/route/route.ts';
import { SEAT_PAYLOAD_TYPE, seatsOf, type SignedSeat } from '#shared/route/seat.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';
import { leaseOf } from '../../support/leases.ts';
import { toyDigest, toyManifest } from '../../support/toy-model.ts';
import { serverIdentity, toyIdentity, toyRanges, toyVerify } from '../../support/toy-network.ts';

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
  const request = { session: route.session, stage: 1, from: first };
  const seats = seatsOf(route);
  const seatOf = (volunteer: PeerId): SignedSeat => seats.find((seat) => seat.volunteer === volunteer)!;

  it.each([
    ['the primary', second, 'primary'],
    ['a shadow', shadow, 'shadow'],
    ['another shadow', otherShadow, 'shadow'],
  ])('is taken by %s that the route names', (_, self, role) => {
    expect(takeSeat(seatOf(self), request, self, loaded, 0)).toMatchObject({ role, requester, upstream: first });
  });

  it.each<[string, Partial<SignedSeat>, Partial<OpenRequest>]>([
    ['is for another session', { session: 'f'.repeat(32) as SessionId }, {}],
    ['has expired', { expiresAtMs: -CLOCK_SKEW_MS - 1 }, {}],
    ['is another volunteer’s', { volunteer: shadow }, {}],
    ['is for another stage', { stage: 2 }, {}],
    ['is of another model', { model: 'f'.repeat(64) as Digest }, {}],
    ['is for layers that it does not hold', { range: toyRanges[0]! }, {}],
    ['has another peer before it than the one that asks', {}, { from: requester }],
    ['is for a replay of several stages', { role: 'replay' }, {}],
  ])('is refused to a volunteer whose seat %s', (_, change, asked) => {
    const open = (seat: SignedSeat, how: OpenRequest) => codeOf(() => takeSeat(seat, how, second, loaded, 0));
    expect(open(seatOf(second), request)).toBe('no error');
    expect(open({ ...seatOf(second), ...change }, { ...request, ...asked })).toBe('unrouted');
  });
});

describe('the seats of a route', () => {
  const ids = Array.from({ length: 10 }, (_, i) => i.toString(16).repeat(64) as PeerId);
  const anyStages = fc
    .array(fc.nat(2), { minLength: 1, maxLength: 3 })
    .map((shadows) => shadows.map((count, stage) => ids.slice(3 * stage, 3 * stage + 1 + count)));
  const requester = ids[9]!;

  it('name to a volunteer its requester, the peer before it and those it sends to, and nobody else', () => {
    const property = fc.property(anyStages, (stages) => {
      const { route } = leaseOf({ requester, stages, model: toyDigest, ranges: toyRanges });
      const seats = seatsOf(route);
      expect(seats.map(({ volunteer }) => volunteer)).toEqual(stages.flat());
      for (const seat of seats) {
        const { stage, volunteer } = seat;
        const isPrimary = stages[stage]![0] === volunteer;
        const upstream = stage === 0 ? requester : stages[stage - 1]![0]!;
        const next = isPrimary ? (stages[stage + 1] ?? [requester]) : [];
        const known = new Set([volunteer, requester, upstream, ...next]);
        const text = JSON.stringify(seat);
        expect(ids.filter((id) => text.includes(id))).toEqual(ids.filter((id) => known.has(id)));
      }
    });
    fc.assert(property, { numRuns: 200, seed: 12 });
  });

  it('are the same for a primary whoever shadows it, and however many do', () => {
    const seatWith = (shadows: readonly PeerId[]): SignedSeat => {
      const stages = [
        [ids[0]!, ...shadows],
        [ids[5]!, ids[6]!],
      ];
      const { route } = leaseOf({ requester, stages, model: toyDigest, ranges: toyRanges });
      return seatsOf({ ...route, session: '0'.repeat(32) as SessionId })[0]!;
    };
    const alone = seatWith([]);
    expect(seatWith([ids[1]!])).toEqual(alone);
    expect(seatWith([ids[1]!, ids[2]!])).toEqual(alone);
  });

  it('are read back as they were signed, and no other document is', async () => {
    const { route } = leaseOf({ requester, stages: [[ids[0]!, ids[1]!]], model: toyDigest, ranges: toyRanges });
    const [seat] = seatsOf(route);
    const authority = { serverKey: serverIdentity.publicKey, verify: toyVerify };
    const sign = (type: string, by: Identity, document: object) =>
      signEnvelope(by, type, utf8(JSON.stringify(document)));
    expect(await openSeat(await sign(SEAT_PAYLOAD_TYPE, serverIdentity, seat!), authority)).toEqual(seat);
    const refused = async (envelope: Promise<Envelope>) => codeOfAsync(openSeat(await envelope, authority));
    expect(await refused(sign(SEAT_PAYLOAD_TYPE, toyIdentity('another'), seat!))).toBe('bad-signature');
    expect(await refused(sign(ROUTE_PAYLOAD_TYPE, serverIdentity, seat!))).toBe('bad-message');
    for (const change of [{ version: 2 }, { role: 'owner' }, { hint: 1 }, { stage: 64 }]) {
      expect(await refused(sign(SEAT_PAYLOAD_TYPE, serverIdentity, { ...seat, ...change }))).toBe('bad-message');
    }
  });
});
