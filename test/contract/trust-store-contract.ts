import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import {
  MAX_PROOF_CHARACTERS,
  MAX_PROOFS,
  type EarnedSpans,
  type HiddenFault,
  type KeptFault,
  type TrustStore,
} from '../../signal-server/store/trust-store.ts';
import { overwrite, type OpenedStore } from './opened-store.ts';

const [volunteer, other] = ['a', 'b'].map((digit) => digit.repeat(64)) as [PeerId, PeerId];
const NOTHING: EarnedSpans = { own: 0, others: 0, agreed: 0, firstWitnessedMs: null };
const hidden = (atMs: number): HiddenFault => ({ numericClass: 'wasm', reason: 'it lied', atMs });
const term = { times: 1, untilMs: 100, reason: 'it lied' };
const faultOf = (i: number): KeptFault => ({
  session: i.toString(16).padStart(32, '0') as SessionId,
  volunteer,
  model: 'e'.repeat(64) as Digest,
  range: { start: 0, end: 4, embedding: true, head: false },
  reason: 'it lied',
  atMs: i,
});

/** The contract of every TrustStore. */
export function describeTrustStore(name: string, open: () => Promise<OpenedStore<TrustStore>>): void {
  describe(`trust kept by ${name}`, () => {
    let opened: OpenedStore<TrustStore>;
    let store: TrustStore;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    it('is credited by key, by numeric class and by source', async () => {
      await store.credit(volunteer, 'wasm', 'own', 2, 10);
      await store.credit(volunteer, 'wasm', 'others', 3, 20);
      await store.credit(volunteer, 'wasm', 'agreed', 4, 30);
      await store.credit(volunteer, 'webgpu/x', 'agreed', 5, 5);
      await store.credit(volunteer, 'webgpu/x', 'own', 1, 40);
      store = await opened.reopen();
      expect(store.earned(volunteer, 'wasm')).toEqual({ own: 2, others: 3, agreed: 4, firstWitnessedMs: 10 });
      expect(store.earned(volunteer, 'webgpu/x')).toEqual({ own: 1, others: 0, agreed: 5, firstWitnessedMs: 40 });
      expect([store.earned(volunteer, 'none'), store.earned(other, 'wasm')]).toEqual([NOTHING, NOTHING]);
    });

    it('is read before it is confirmed, also by who has asked before', async () => {
      expect([store.earned(volunteer, 'wasm'), store.suspension(volunteer)]).toEqual([NOTHING, null]);
      const credited = store.credit(volunteer, 'wasm', 'own', 2, 10);
      expect(store.earned(volunteer, 'wasm')).toMatchObject({ own: 2 });
      const failed = store.failHidden(volunteer, hidden(20));
      expect([store.earned(volunteer, 'wasm'), store.hiddenFault(volunteer)]).toEqual([NOTHING, hidden(20)]);
      const convicted = store.convict(faultOf(1), 'proof', term);
      expect(store.suspension(volunteer)).toEqual(term);
      await Promise.all([credited, failed, convicted]);
      expect([store.earned(volunteer, 'wasm'), store.suspension(volunteer)]).toEqual([NOTHING, term]);
    });

    it('is right for more numeric classes than are likely', async () => {
      const classes = Array.from({ length: 20 }, (_, i) => `class ${i}`);
      await Promise.all(classes.map((each, i) => store.credit(volunteer, each, 'own', i, 1)));
      expect(classes.map((each) => store.earned(volunteer, each).own)).toEqual(classes.map((_, i) => i));
    });

    it('loses what was witnessed, and nothing else, where the server found a fault itself', async () => {
      for (const key of [volunteer, other]) {
        await store.credit(key, 'wasm', 'own', 2, 10);
        await store.credit(key, 'webgpu/x', 'others', 3, 10);
        await store.credit(key, 'webgpu/x', 'agreed', 4, 10);
      }
      await store.failHidden(volunteer, hidden(20));
      store = await opened.reopen();
      expect(store.earned(volunteer, 'wasm')).toEqual(NOTHING);
      expect(store.earned(volunteer, 'webgpu/x')).toEqual({ ...NOTHING, agreed: 4 });
      expect(store.earned(other, 'webgpu/x')).toEqual({ own: 0, others: 3, agreed: 4, firstWitnessedMs: 10 });
      expect([store.hiddenFault(volunteer), store.hiddenFault(other)]).toEqual([hidden(20), null]);
      await store.credit(volunteer, 'wasm', 'others', 1, 30);
      expect(store.earned(volunteer, 'wasm')).toEqual({ ...NOTHING, others: 1, firstWitnessedMs: 30 });
    });

    it('keeps the last reason of a key, until it is pruned', async () => {
      await store.failHidden(volunteer, hidden(20));
      await store.failHidden(volunteer, { ...hidden(30), numericClass: 'webgpu/x' });
      await store.prune(30);
      expect(store.hiddenFault(volunteer)).toEqual({ ...hidden(30), numericClass: 'webgpu/x' });
      await store.prune(31);
      store = await opened.reopen();
      expect(store.hiddenFault(volunteer)).toBeNull();
    });

    it('is gone with a proven fault, which suspends the key', async () => {
      await store.credit(volunteer, 'wasm', 'own', 2, 10);
      await store.credit(volunteer, 'wasm', 'agreed', 2, 10);
      await store.convict(faultOf(1), 'proof', term);
      store = await opened.reopen();
      expect(store.earned(volunteer, 'wasm')).toEqual(NOTHING);
      expect(store.suspension(volunteer)).toEqual(term);
      expect([99, 100].map((atMs) => store.suspendedAt(atMs))).toEqual([1, 0]);
      expect(store.isProven(faultOf(1).session, volunteer)).toBe(true);
      expect([store.isProven(faultOf(2).session, volunteer), store.isProven(faultOf(1).session, other)]).toEqual([
        false,
        false,
      ]);
      await store.convict(faultOf(2), 'proof', { times: 2, untilMs: 200, reason: 'again' });
      expect(store.suspension(volunteer)).toEqual({ times: 2, untilMs: 200, reason: 'again' });
      expect(store.suspendedAt(150)).toBe(1);
    });

    it('takes no fault a second time, and nothing of one it does not take', async () => {
      await store.convict(faultOf(1), 'proof', term);
      await store.credit(volunteer, 'wasm', 'own', 2, 10);
      await expect(store.convict(faultOf(1), 'other', { ...term, times: 2 })).rejects.toThrow();
      expect(store.suspension(volunteer)).toEqual(term);
      expect(store.earned(volunteer, 'wasm').own).toBe(2);
      expect(store.faults(9)).toHaveLength(1);
      expect(await store.proof(faultOf(1).session, volunteer)).toBe('proof');
    });

    it('keeps every fault, and the newest proofs of a bounded size', async () => {
      const count = MAX_PROOFS + 50;
      await Promise.all(Array.from({ length: count }, (_, i) => store.convict(faultOf(i), `proof ${i}`, term)));
      store = await opened.reopen();
      expect(store.faults(1_000)).toHaveLength(count);
      expect(store.faults(2)).toEqual([faultOf(count - 1), faultOf(count - 2)]);
      const proofOf = (i: number): Promise<string | null> => store.proof(faultOf(i).session, volunteer);
      expect(await proofOf(count - 1)).toBe(`proof ${count - 1}`);
      expect(await Promise.all([50, 49].map(proofOf))).toEqual(['proof 50', null]);
      await store.convict(faultOf(count), 'x'.repeat(MAX_PROOF_CHARACTERS), term);
      await store.convict(faultOf(count + 1), 'x'.repeat(MAX_PROOF_CHARACTERS + 1), term);
      expect(await proofOf(count)).toHaveLength(MAX_PROOF_CHARACTERS);
      expect(await proofOf(count + 1)).toBeNull();
      expect(await proofOf(count + 2)).toBeNull();
    });

    it('is not changed through what was handed in or out', async () => {
      const [fault, suspension, lost] = [faultOf(1), { ...term }, hidden(20)];
      await store.failHidden(volunteer, lost);
      overwrite(lost, { reason: 'it did not' });
      overwrite(store.hiddenFault(volunteer)!, { atMs: 0 });
      await store.credit(other, 'wasm', 'own', 1, 10);
      overwrite(store.earned(other, 'wasm'), { own: 99 });
      overwrite(store.earned(other, 'none'), { own: 99 });
      await store.convict(fault, 'proof', suspension);
      overwrite(fault.range, { end: 99 });
      overwrite(suspension, { times: 99 });
      overwrite(store.suspension(volunteer)!, { untilMs: 0 });
      overwrite(store.faults(1)[0]!, { reason: 'it did not' });
      overwrite(store.faults(1)[0]!.range, { start: 99 });
      expect(store.suspension(volunteer)).toEqual(term);
      expect(store.faults(1)).toEqual([faultOf(1)]);
      expect(store.hiddenFault(volunteer)).toEqual(hidden(20));
      expect([store.earned(other, 'wasm').own, store.earned(other, 'none').own]).toEqual([1, 0]);
    });
  });
}
