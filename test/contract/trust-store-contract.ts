import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import {
  MAX_PROOF_CHARACTERS,
  MAX_PROOFS,
  type KeptFault,
  type TrustStore,
} from '../../signal-server/store/trust-store.ts';
import { overwrite, type OpenedStore } from './opened-store.ts';

const [volunteer, other] = ['a', 'b'].map((digit) => digit.repeat(64)) as [PeerId, PeerId];
const [alice, bob] = ['c', 'd'].map((digit) => digit.repeat(64)) as [PeerId, PeerId];
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

    it('is credited by key, by numeric class and by requester', async () => {
      await store.credit(volunteer, 'wasm', alice, 2);
      await store.credit(volunteer, 'wasm', bob, 3);
      await store.credit(volunteer, 'webgpu/x', alice, 5);
      store = await opened.reopen();
      expect(['wasm', 'webgpu/x', 'none'].map((each) => store.spans(volunteer, each))).toEqual([5, 5, 0]);
      expect([alice, bob, other].map((each) => store.spansFrom(volunteer, 'wasm', each))).toEqual([2, 3, 0]);
      expect(store.spans(other, 'wasm')).toBe(0);
    });

    it('is read before it is confirmed, also by who has asked before', async () => {
      expect([store.spans(volunteer, 'wasm'), store.suspension(volunteer)]).toEqual([0, null]);
      const credited = store.credit(volunteer, 'wasm', alice, 2);
      expect(store.spans(volunteer, 'wasm')).toBe(2);
      expect(store.spansFrom(volunteer, 'wasm', alice)).toBe(2);
      const convicted = store.convict(faultOf(1), 'proof', term);
      expect([store.spans(volunteer, 'wasm'), store.suspension(volunteer)]).toEqual([0, term]);
      await Promise.all([credited, convicted]);
      expect([store.spans(volunteer, 'wasm'), store.suspension(volunteer)]).toEqual([0, term]);
    });

    it('is right for more numeric classes than are likely', async () => {
      const classes = Array.from({ length: 20 }, (_, i) => `class ${i}`);
      await Promise.all(classes.map((each, i) => store.credit(volunteer, each, alice, i)));
      expect(classes.map((each) => store.spans(volunteer, each))).toEqual(classes.map((_, i) => i));
    });

    it('forgets who brought what of one class, and nothing else', async () => {
      await store.credit(volunteer, 'wasm', alice, 2);
      await store.credit(volunteer, 'webgpu/x', alice, 4);
      await store.forgetSources(volunteer, 'wasm');
      expect(store.spansFrom(volunteer, 'wasm', alice)).toBe(0);
      expect(store.spansFrom(volunteer, 'webgpu/x', alice)).toBe(4);
      expect(store.spans(volunteer, 'wasm')).toBe(2);
    });

    it('counts each requester that complains once, from its last complaint on', async () => {
      await store.complain(volunteer, alice, 10);
      await store.complain(volunteer, bob, 20);
      await store.complain(other, bob, 20);
      expect([10, 11, 20, 21].map((sinceMs) => store.complaints(volunteer, sinceMs))).toEqual([2, 1, 1, 0]);
      await store.complain(volunteer, alice, 30);
      expect([10, 21, 31].map((sinceMs) => store.complaints(volunteer, sinceMs))).toEqual([2, 1, 0]);
      await store.prune(25);
      store = await opened.reopen();
      expect([volunteer, other].map((each) => store.complaints(each, 0))).toEqual([1, 0]);
    });

    it('is gone with the complaints when a key is reset, in every class of this key alone', async () => {
      for (const key of [volunteer, other]) {
        await store.credit(key, 'wasm', alice, 2);
        await store.credit(key, 'webgpu/x', alice, 2);
        await store.complain(key, alice, 10);
      }
      await store.reset(volunteer);
      expect(['wasm', 'webgpu/x'].map((each) => store.spans(volunteer, each))).toEqual([0, 0]);
      expect([store.spansFrom(volunteer, 'wasm', alice), store.complaints(volunteer, 0)]).toEqual([0, 0]);
      expect([store.spans(other, 'wasm'), store.complaints(other, 0)]).toEqual([2, 1]);
    });

    it('is gone with a proven fault, which suspends the key', async () => {
      await store.credit(volunteer, 'wasm', alice, 2);
      await store.complain(volunteer, alice, 10);
      await store.convict(faultOf(1), 'proof', term);
      store = await opened.reopen();
      expect([store.spans(volunteer, 'wasm'), store.complaints(volunteer, 0)]).toEqual([0, 0]);
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
      await store.credit(volunteer, 'wasm', alice, 2);
      await expect(store.convict(faultOf(1), 'other', { ...term, times: 2 })).rejects.toThrow();
      expect(store.suspension(volunteer)).toEqual(term);
      expect(store.spans(volunteer, 'wasm')).toBe(2);
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
      const [fault, suspension] = [faultOf(1), { ...term }];
      await store.convict(fault, 'proof', suspension);
      overwrite(fault.range, { end: 99 });
      overwrite(suspension, { times: 99 });
      overwrite(store.suspension(volunteer)!, { untilMs: 0 });
      overwrite(store.faults(1)[0]!, { reason: 'it did not' });
      overwrite(store.faults(1)[0]!.range, { start: 99 });
      expect(store.suspension(volunteer)).toEqual(term);
      expect(store.faults(1)).toEqual([faultOf(1)]);
    });
  });
}
