import { beforeEach, describe, expect, it } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import { encodeClaim } from '#shared/credit/claim-codec.ts';
import type { VerifySignature } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import { ClaimDesk, type ClaimOutcome, type Claims } from '../../../signal-server/desks/claim-desk.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { Leases, type Lease } from '../../../signal-server/placement/leases.ts';
import { claimOf, digestFor } from '../../support/claims.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';
import { toyIdentity, toyVerify } from '../../support/toy-network.ts';

const anchor = toyIdentity('anchor');
const volunteer = toyIdentity('volunteer');
const other = toyIdentity('other');
const gateway = toyIdentity('gateway');
const requester = idOf('a');

describe('the desk of claims', () => {
  let clock: FakeClock;
  let leases: Leases;
  let desk: ClaimDesk;
  let credited: unknown[];
  let outcomes: ClaimOutcome[];
  let errors: unknown[];
  let isModelHere: boolean;
  let verify: VerifySignature;

  beforeEach(() => {
    clock = new FakeClock();
    leases = new Leases(clock);
    [credited, outcomes, errors, isModelHere, verify] = [[], [], [], true, toyVerify];
    desk = new ClaimDesk({
      ...{ clock, leases },
      trust: {
        witness: async (...words) => void credited.push(['witnessed', ...words]),
        agree: async (...words) => void credited.push(['agreed', ...words]),
      },
      verify: (...signed) => verify(...signed),
      modelSize: () => (isModelHere ? { hiddenSize: 64, layers: 8 } : null),
      isAnchor: (id) => id === anchor.id,
      isOwn: (id) => id === anchor.id || id === gateway.id,
      onJudged: (outcome) => outcomes.push(outcome),
      onError: (error) => errors.push(error),
      limits: { ...parseConfig({}).limits, claims: { perSecond: 1, burst: 2 }, claimsWaiting: 2 },
    });
  });

  function leased(by: PeerId = requester, stage = [anchor, volunteer], role: Lease['role'] = 'answer'): Lease {
    const { route } = leaseOf({ requester: by, stages: [stage.map(({ id }) => id)] });
    leases.take(route, role);
    return leases.get(route.session)!;
  }

  async function claimsOf({ route }: Lease, of = [anchor, volunteer], change = {}): Promise<Claims> {
    const claims = of.map(async (identity) => {
      const claim = encodeClaim({ ...claimOf(route, 0, identity), ...change });
      const signature = toBase64(await identity.sign(claim));
      return { publicKey: toBase64(identity.publicKey), claim: toBase64(claim), signature };
    });
    return { type: 'claims', session: route.session, stage: 0, claims: await Promise.all(claims) };
  }

  const witnessed = (spans = 2, heldBy = 'others') => ['witnessed', volunteer.id, 'wasm', spans, heldBy];
  const send = async (lease: Lease): Promise<void> => desk.receive({ id: lease.requester }, await claimsOf(lease));

  it('credits a volunteer with what an anchor computed too, and tells apart whose session it was', async () => {
    await send(leased());
    await send(leased(gateway.id));
    await settle();
    expect(credited.filter((each) => (each as unknown[])[0] === 'witnessed')).toEqual([
      witnessed(),
      witnessed(2, 'own'),
    ]);
  });

  it('holds shadows against each other too: a third that an anchor agrees with needs no primary', async () => {
    const lease = leased(requester, [other, anchor, volunteer]);
    const { claims, ...message } = await claimsOf(lease, [anchor, volunteer]);
    const wrong = await claimsOf(lease, [other], { output: digestFor('wrong') });
    desk.receive({ id: requester }, { ...message, claims: [...wrong.claims, ...claims] });
    await settle();
    expect(credited).toEqual([['agreed', anchor.id, 'wasm', 2], witnessed()]);
    expect(outcomes).toEqual(['void', 'agreed', 'witnessed']);
  });

  it('reads no more from a requester than its rate allows, and everything from the server’s own', async () => {
    for (let i = 0; i < 4; i++) {
      await send(leased());
      await settle();
    }
    expect(credited.filter((each) => (each as unknown[])[0] === 'witnessed')).toHaveLength(2);
    for (let i = 0; i < 4; i++) {
      await send(leased(gateway.id));
      await settle();
    }
    expect(credited.filter((each) => (each as unknown[])[0] === 'witnessed')).toHaveLength(6);
    desk.prune();
    await send(leased());
    await settle();
    expect(outcomes).toHaveLength(12);
    await clock.advance(1_000);
    await send(leased());
    await settle();
    expect(outcomes).toHaveLength(14);
  });

  it('has no more wait for it than it may', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    verify = async (...signed) => {
      await held;
      return toyVerify(...signed);
    };
    for (let i = 0; i < 4; i++) await send(leased(gateway.id));
    await settle();
    expect(outcomes).toEqual(['void', 'void', 'void', 'void']);
    release();
    await settle();
    expect(credited).toHaveLength(4);
  });

  it('credits nobody for a model that is gone', async () => {
    isModelHere = false;
    await send(leased());
    await settle();
    expect([credited, outcomes]).toEqual([[], ['void', 'void']]);
  });

  it('credits nobody for the replay of another session', async () => {
    await send(leased(requester, [anchor, volunteer], 'referee'));
    await settle();
    expect([credited, outcomes]).toEqual([[], []]);
  });

  it('goes on with the next after one that failed', async () => {
    const [first, second] = [leased(), leased()];
    verify = () => Promise.reject(new Error('no crypto'));
    await send(first);
    await settle();
    verify = toyVerify;
    await send(second);
    await settle();
    expect(errors).toEqual([new Error('no crypto')]);
    expect(credited).toContainEqual(witnessed());
  });

  it('goes on where the session ends while its claims are judged', async () => {
    const lease = leased();
    await send(lease);
    leases.end(lease.route.session);
    await settle();
    expect(credited).toContainEqual(witnessed());
  });
});
