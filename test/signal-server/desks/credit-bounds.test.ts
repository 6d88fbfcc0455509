import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import type { Claim } from '#shared/credit/claim.ts';
import { encodeClaim } from '#shared/credit/claim-codec.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import { PROBATION_CHUNKS } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { ClaimDesk } from '../../../signal-server/desks/claim-desk.ts';
import { FinishedSessions } from '../../../signal-server/desks/finished-sessions.ts';
import { RunningSessions } from '../../../signal-server/desks/running-sessions.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { Leases } from '../../../signal-server/placement/leases.ts';
import { createMemoryHistoryStore } from '../../../signal-server/store/memory/memory-history-store.ts';
import { createMemoryTrustStore } from '../../../signal-server/store/memory/memory-trust-store.ts';
import { Complaints } from '../../../signal-server/trust/complaints.ts';
import { LONG_TRUSTED_MS, LONG_TRUSTED_SPANS } from '../../../signal-server/trust/standing-rule.ts';
import { Trust } from '../../../signal-server/trust/trust.ts';
import { claimOf, digestFor, sketchesOf } from '../../support/claims.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { leaseOf } from '../../support/leases.ts';
import { toyIdentity, toySignature, toyVerify } from '../../support/toy-network.ts';

type SentClaim = Extract<PeerControlMessage, { type: 'claims' }>['claims'][number];

const anchor = toyIdentity('anchor');
const honest = ['honest 0', 'honest 1'].map(toyIdentity);
/** All of one person, volunteers and requesters alike. */
const own = Array.from({ length: 4 }, (_, i) => toyIdentity(`own ${i}`));
const everybody = [anchor, ...honest, ...own];

/** The parts of a server that give and take standing, without its sockets. */
class Standings {
  readonly clock = new FakeClock();
  readonly leases = new Leases(this.clock);
  readonly trust = new Trust({ clock: this.clock, store: createMemoryTrustStore(), isOwn: (id) => id === anchor.id });
  readonly #sessions: RunningSessions;
  readonly #claims: ClaimDesk;

  constructor() {
    const { clock, leases, trust } = this;
    const { limits, times } = parseConfig({ limits: { claims: { perSecond: 1e6, burst: 1e6 } } });
    const fail = (error: unknown): never => {
      throw error;
    };
    const complaints = new Complaints({
      ...{ clock, limits },
      isProven: () => false,
      prefixOf: () => null,
      onComplaint: () => undefined,
    });
    const inc = () => undefined;
    const counter = { inc } as never;
    const finished = new FinishedSessions({
      ...{ clock, complaints, log: pino({ level: 'silent' }), onError: fail },
      history: createMemoryHistoryStore(),
      metrics: { sessions: counter, tokens: counter, chunks: counter, replays: counter },
    });
    this.#sessions = new RunningSessions({
      ...{ clock, leases, times },
      onFinished: (session) => finished.add(session),
      onTokens: () => undefined,
      onFault: () => undefined,
      onStall: () => undefined,
    });
    this.#claims = new ClaimDesk({
      ...{ clock, leases, trust, limits },
      verify: toyVerify,
      modelSize: () => ({ hiddenSize: 64, layers: 8 }),
      isAnchor: (id) => id === anchor.id,
      isOwn: (id) => id === anchor.id,
      onJudged: () => undefined,
      onError: fail,
    });
  }

  /** Standing as it decides anything. */
  deciding(id: PeerId) {
    const { agreedSpans: _shown, ...standing } = this.trust.standing(id, 'wasm');
    return standing;
  }

  async receive(from: PeerId, message: PeerControlMessage): Promise<void> {
    if (message.type === 'claims') this.#claims.receive({ id: from }, message);
    else if (message.type === 'rest') this.#sessions.rest(from, message);
    else if (message.type === 'release') this.#sessions.release(from, message);
    await settle();
  }
}

/** The person's claim in the name of one replica: under a key of its own, or under another's with a signature that it made up. */
interface Said {
  /** Counted from the primary of the stage on. */
  readonly place: number;
  /** `own` for the one that the replica has. */
  readonly role: Claim['role'] | 'own';
  readonly positions: number;
  readonly output: string;
  readonly isForged: boolean;
}

interface Step {
  readonly requester: number;
  readonly stage: readonly number[];
  readonly claims: readonly Said[];
  readonly end: 'rest' | 'release';
  readonly blamed: readonly number[];
  readonly repeats: number;
}

const anybody = fc.nat(everybody.length - 1);
const stepOf = (said: fc.Arbitrary<Said>): fc.Arbitrary<Step> =>
  fc.record({
    requester: fc.nat(own.length - 1),
    stage: fc.uniqueArray(anybody, { minLength: 2, maxLength: 4 }),
    claims: fc.array(said, { minLength: 2, maxLength: 5 }),
    end: fc.constantFrom('rest', 'release'),
    blamed: fc.array(anybody, { maxLength: 5 }),
    repeats: fc.integer({ min: 1, max: 3 }),
  });
const said: fc.Arbitrary<Said> = fc.record({
  place: fc.nat(3),
  role: fc.constantFrom('own', 'own', 'own', 'primary', 'shadow', 'replay'),
  positions: fc.constantFrom(1, 40, 40, 128),
  output: fc.constantFrom('right', 'right', 'wrong'),
  isForged: fc.nat(4).map((each) => each === 0),
});

/** A replica's claim that is what the others of its stage signed. */
const copy = (place: number): Said => {
  return { place, role: 'own', positions: 128, output: 'right', isForged: false };
};

const sent = (claim: Claim, identity: Identity, signer = identity): SentClaim => {
  const bytes = encodeClaim(claim);
  const signature = toySignature(signer.publicKey, bytes);
  return { publicKey: toBase64(identity.publicKey), claim: toBase64(bytes), signature: toBase64(signature) };
};

/** One session of the person's, with all that it says in it. */
async function play(
  standings: Standings,
  step: Step,
  sign: (each: Said, by: number) => Identity | null,
): Promise<void> {
  const requester = own[step.requester]!.id;
  const lease = leaseOf({ requester, stages: [step.stage.map((i) => everybody[i]!.id)] });
  standings.leases.take(lease.route, 'answer');
  const { session } = lease.route;
  const claims = step.claims.flatMap((each) => {
    const by = step.stage[each.place % step.stage.length]!;
    const identity = everybody[by]!;
    const signer = sign(each, by);
    if (signer === null) return [];
    const right = claimOf(lease.route, 0, identity);
    const role = each.role === 'own' ? right.role : each.role;
    const { positions } = each;
    const claim = { ...right, role, positions, output: digestFor(each.output) };
    return [sent({ ...claim, sketch: sketchesOf(Math.min(32, positions)) }, identity, signer)];
  });
  for (let i = 0; i < step.repeats; i++) {
    if (claims.length >= 2) await standings.receive(requester, { type: 'claims', session, stage: 0, claims });
  }
  const faults = step.blamed.map((i) => ({ volunteer: everybody[i]!.id, code: 'timeout' as const }));
  const checks = { checked: 1_000, settled: 0, unchecked: 0, disputed: 0 };
  const figures = { session, tokens: 1_000, positions: 1_000, tokensPerSecond: 9, faults, stalled: [], checks };
  if (step.end === 'rest') await standings.receive(requester, { type: 'rest', ...figures });
  await standings.receive(requester, { type: 'release', outcome: 'failed', ...figures });
}

describe('whatever one person’s keys say, as requesters and as volunteers', () => {
  it('leaves every key’s standing as it was, where no anchor has signed', async () => {
    const start = fc.tuple(fc.nat(2 * LONG_TRUSTED_SPANS), fc.nat(2 * LONG_TRUSTED_SPANS), fc.boolean());
    await fc.assert(
      fc.asyncProperty(start, fc.array(stepOf(said), { minLength: 1, maxLength: 8 }), async (earned, steps) => {
        const standings = new Standings();
        const [witnessed, agreed, isLong] = earned;
        await standings.trust.witness(honest[0]!.id, 'wasm', witnessed);
        await standings.trust.agree(honest[1]!.id, 'wasm', agreed);
        if (isLong) await standings.clock.advance(LONG_TRUSTED_MS);
        const before = everybody.map(({ id }) => standings.deciding(id));
        for (const step of steps) {
          // An honest volunteer signs what it computed, and nothing else; an anchor's name can only be forged.
          await play(standings, step, ({ isForged, output }, by) => {
            if (everybody[by] === anchor || isForged) return own[0]!;
            return own.includes(everybody[by]!) || output === 'right' ? everybody[by]! : null;
          });
        }
        expect(everybody.map(({ id }) => standings.deciding(id))).toEqual(before);
      }),
      { numRuns: 150 },
    );
  });

  it('brings none of its keys more than half of a probation, where anchors sign what they computed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepOf(said), { minLength: 1, maxLength: 25 }), async (steps) => {
        const standings = new Standings();
        for (const step of steps) {
          // The person copies what the anchor signed, and has its claims repeated.
          const stage = [0, 3 + (step.requester % own.length), ...step.stage.filter((i) => i > 2)];
          const copies = stage.map((_, place) => copy(place)).slice(0, 5);
          await play(standings, { ...step, stage: [...new Set(stage)], claims: copies }, (_, by) => everybody[by]!);
        }
        for (const { id } of own) {
          const { witnessedSpans, isNew, isLongTrusted } = standings.trust.standing(id, 'wasm');
          expect(witnessedSpans).toBeLessThanOrEqual(PROBATION_CHUNKS / 2);
          expect([isNew, isLongTrusted]).toEqual([true, false]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('gives a replica under the requester’s own key nothing, nor anybody by agreeing with it', async () => {
    const standings = new Standings();
    const end = { end: 'release', blamed: [], repeats: 1 } as const;
    const both = { requester: 0, stage: [0, 3], claims: [copy(0), copy(1)], ...end };
    await play(standings, both, (_, by) => everybody[by]!);
    await play(standings, { ...both, stage: [3, 4] }, (_, by) => everybody[by]!);
    const spans = own.map(({ id }) => standings.trust.standing(id, 'wasm'));
    expect(spans.map(({ witnessedSpans, agreedSpans }) => witnessedSpans + agreedSpans)).toEqual([0, 0, 0, 0]);
    // Asked for by another key of the same person, the same would have counted.
    await play(standings, { ...both, requester: 1 }, (_, by) => everybody[by]!);
    expect(standings.trust.standing(own[0]!.id, 'wasm').witnessedSpans).toBe(4);
  });
});
