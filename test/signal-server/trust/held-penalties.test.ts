import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { SessionId } from '#shared/ids.ts';
import { PROBATION_CHUNKS } from '#shared/limits.ts';
import { createMemoryTrustStore } from '../../../signal-server/store/memory/memory-trust-store.ts';
import { MAX_PROOF_CHARACTERS, type TrustStore } from '../../../signal-server/store/trust-store.ts';
import { holdPenalties, type HeldPenalties } from '../../../signal-server/trust/held-penalties.ts';
import { Trust } from '../../../signal-server/trust/trust.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';

const [key, other] = [idOf('1'), idOf('2')];
const HOUR_MS = 3_600_000;
const full = new ChorusError('internal', 'this server keeps nothing now: the disk is full', { isTold: true });

describe('penalties that the disk does not take', () => {
  let failure: Error | null;
  let disk: TrustStore;
  let clock: FakeClock;
  let penalties: HeldPenalties;
  let trust: Trust;
  let news: string[];
  let errors: unknown[];
  let sessions = 0;

  beforeEach(() => {
    [failure, news, errors] = [null, [], []];
    clock = new FakeClock();
    disk = createMemoryTrustStore();
    const store: TrustStore = {
      ...disk,
      convict: (...given) => (failure === null ? disk.convict(...given) : Promise.reject(failure)),
      failHidden: (...given) => (failure === null ? disk.failHidden(...given) : Promise.reject(failure)),
    };
    penalties = holdPenalties({ store, onNews: (each) => news.push(each), onError: (error) => errors.push(error) });
    trust = new Trust({ clock, store: penalties, isOwn: () => false });
  });

  async function convict(volunteer = key, proof = '{}'): Promise<SessionId> {
    const session = (sessions++).toString(16).padStart(32, '0') as SessionId;
    const { model, stages } = leaseOf({ requester: other, stages: [[volunteer]] }).route;
    await trust.convict({ session, volunteer, model, range: stages[0]!.range, reason: 'it lied' }, proof);
    return session;
  }

  it('suspend a key at once, tell the operator, and are on the disk once that takes them', async () => {
    await trust.witness(key, 'wasm', PROBATION_CHUNKS);
    failure = full;
    const session = await convict();
    expect(trust.standing(key, 'wasm')).toMatchObject({ witnessedSpans: 0, isNew: true });
    expect(trust.suspension(key)).toMatchObject({ times: 1, reason: 'it lied' });
    expect([trust.suspended, trust.isProven(session, key), penalties.faults(9).length]).toEqual([1, true, 1]);
    expect(news).toHaveLength(1);
    expect(news[0]).toMatch(new RegExp(`^volunteer ${key} is suspended until .*, in memory only: .*a restart`));
    await penalties.settle();
    expect([penalties.held, disk.suspension(key), news.length]).toEqual([1, null, 1]);
    failure = null;
    await penalties.settle();
    expect(disk.suspension(key)).toMatchObject({ times: 1, reason: 'it lied' });
    expect([disk.isProven(session, key), await disk.proof(session, key)]).toEqual([true, '{}']);
    expect([penalties.held, trust.suspended, penalties.faults(9).length]).toEqual([0, 1, 1]);
    expect(news.slice(1)).toEqual(['what was found of volunteers while the disk took nothing is on record now']);
  });

  it('keep their order: a second suspension is twice as long, and is the one that stays', async () => {
    failure = full;
    await convict();
    await clock.advance(HOUR_MS);
    expect(trust.suspension(key)).toBeNull();
    failure = null;
    await convict();
    expect(trust.suspension(key)!.untilMs - clock.wallMs()).toBe(2 * HOUR_MS);
    await Promise.all([penalties.settle(), penalties.settle()]);
    expect([disk.suspension(key)!.times, disk.faults(9).length, errors]).toEqual([2, 2, []]);
  });

  it('take away what was witnessed where the server found the fault itself', async () => {
    await trust.witness(key, 'wasm', PROBATION_CHUNKS);
    await trust.agree(key, 'wasm', 3);
    failure = full;
    await trust.failHidden(key, 'wasm', 'it was wrong');
    expect(trust.standing(key, 'wasm')).toMatchObject({ witnessedSpans: 0, agreedSpans: 3, isNew: true });
    expect(trust.lastFault(key)).toMatchObject({ reason: 'it was wrong' });
    expect(trust.suspended).toBe(0);
    failure = null;
    await penalties.settle();
    expect([disk.earned(key, 'wasm').own, disk.hiddenFault(key)?.reason]).toEqual([0, 'it was wrong']);
  });

  it('are held with few proofs, so that nobody fills the memory', async () => {
    failure = full;
    const proof = 'x'.repeat(MAX_PROOF_CHARACTERS);
    const made: SessionId[] = [];
    for (let i = 0; i < 40; i++) made.push(await convict(key, proof));
    failure = null;
    await penalties.settle();
    const kept = await Promise.all(made.map((session) => disk.proof(session, key)));
    expect(kept.map((each) => each !== null)).toEqual(made.map((_, i) => i < 32));
  });

  it('are refused for any other reason, and forgotten where a disk that works refuses them', async () => {
    failure = new Error('a fault of ours');
    await expect(convict()).rejects.toBe(failure);
    expect(trust.suspension(key)).toBeNull();
    failure = full;
    await convict();
    failure = new Error('a fault of ours');
    await penalties.settle();
    expect([errors, penalties.held]).toEqual([[failure], 0]);
  });
});
