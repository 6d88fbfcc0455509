import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest, SessionId } from '#shared/ids.ts';
import type { Beginning, BegunReceipt, ReceiptStore } from '../../signal-server/store/receipt-store.ts';
import { overwrite, type OpenedStore } from './opened-store.ts';

const [log, otherLog] = ['log.example+1+AA==', 'log.example+2+AA=='];
const [session, otherSession] = ['0', '1'].map((digit) => digit.repeat(32)) as [SessionId, SessionId];
const MANY = 1_000;
const idOf = (n: number): Digest => n.toString(16).padStart(64, '0') as Digest;
const envelopeOf = (n: number, length = 4) => ({
  payloadType: 'x',
  payload: `${n}`.padStart(length, 'A'),
  signatures: [{ keyid: '', sig: 'AA==' }],
});
const receiptOf = (n: number, more: Partial<BegunReceipt> = {}): BegunReceipt => ({
  ...{ id: idOf(n), session, log, logSize: n, atMs: n, envelope: envelopeOf(n) },
  record: { number: n + 1, previous: n === 0 ? null : idOf(n - 1) },
  ...more,
});

/** The contract of every ReceiptStore. */
export function describeReceiptStore(name: string, open: () => Promise<OpenedStore<ReceiptStore>>): void {
  describe(`receipts kept by ${name}`, () => {
    let opened: OpenedStore<ReceiptStore>;
    let store: ReceiptStore;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    const pendingIds = async (): Promise<Digest[]> => (await store.pending()).map(({ id }) => id);
    async function logged(n: number, more: Partial<BegunReceipt> = {}): Promise<void> {
      await store.begin(receiptOf(n, more), MANY);
      await store.confirm(idOf(n), n);
    }
    /** The envelopes of receipts 0, 1, …: null where it was dropped, undefined where the receipt was. */
    const envelopes = (count: number): Promise<unknown[]> =>
      Promise.all(Array.from({ length: count }, async (_, n) => (await store.get(idOf(n), log))?.envelope));

    it('are pending from their beginning until the log has them, also after a restart', async () => {
      expect(await store.begin(receiptOf(7), MANY)).toBe('begun');
      expect(await store.begin(receiptOf(3), MANY)).toBe('begun');
      expect(await store.get(idOf(7), log)).toBeNull();
      store = await opened.reopen();
      expect(await store.pending()).toEqual([
        { id: idOf(3), session, log, logSize: 3 },
        { id: idOf(7), session, log, logSize: 7 },
      ]);
      await store.confirm(idOf(3), 5);
      store = await opened.reopen();
      expect(await pendingIds()).toEqual([idOf(7)]);
      expect(await store.get(idOf(3), log)).toEqual({ index: 5, envelope: envelopeOf(3) });
    });

    it('are of one log', async () => {
      await logged(1);
      await store.begin(receiptOf(2, { log: otherLog }), MANY);
      expect(await store.get(idOf(1), otherLog)).toBeNull();
      expect(await pendingIds()).toEqual([idOf(2)]);
    });

    it('are begun anew in the place of what there was', async () => {
      await logged(1, { log: otherLog });
      await store.begin(receiptOf(1, { envelope: envelopeOf(9) }), MANY);
      expect(await store.get(idOf(1), otherLog)).toBeNull();
      await store.confirm(idOf(1), 0);
      expect(await store.get(idOf(1), log)).toEqual({ index: 0, envelope: envelopeOf(9) });
      expect(await pendingIds()).toEqual([]);
    });

    it.each<[string, BegunReceipt['record'], Beginning]>([
      ['the number of another', { number: 2, previous: idOf(0) }, 'contradicted'],
      ['another before it than the one that is there', { number: 3, previous: idOf(9) }, 'contradicted'],
      ['the number before one that names another', { number: 1, previous: null }, 'contradicted'],
      ['the next number, and names the one before it', { number: 3, previous: idOf(1) }, 'begun'],
      ['a number that others lie between', { number: 4, previous: idOf(9) }, 'begun'],
    ])('do not contradict each other within a session: one has %s', async (_, record, beginning) => {
      await logged(1, { record: { number: 2, previous: idOf(0) } });
      expect(await store.begin(receiptOf(5, { record }), MANY)).toBe(beginning);
      expect(await store.begin(receiptOf(6, { record, session: otherSession }), MANY)).toBe('begun');
    });

    it('are gone once they are abandoned', async () => {
      await store.begin(receiptOf(1), MANY);
      await store.abandon(idOf(1));
      expect(await pendingIds()).toEqual([]);
      await store.confirm(idOf(1), 1);
      expect(await store.get(idOf(1), log)).toBeNull();
    });

    it('are at most so many of a session, those that come together and those that were begun included', async () => {
      await logged(0);
      const begun = await Promise.all([1, 2, 3].map((n) => store.begin(receiptOf(n), 3)));
      expect(begun).toEqual(['begun', 'begun', 'full']);
      expect(await pendingIds()).toEqual([idOf(1), idOf(2)]);
      expect(await store.begin(receiptOf(4, { session: otherSession }), 1)).toBe('begun');
      await store.abandon(idOf(2));
      expect(await store.begin(receiptOf(5), 3)).toBe('begun');
      expect(await store.begin(receiptOf(6), 3)).toBe('full');
    });

    it('are dropped when they are old, unless they are on their way', async () => {
      for (const n of [0, 1, 2]) await logged(n);
      await store.begin(receiptOf(3, { atMs: 0 }), MANY);
      await store.prune(1, MANY, 1e9);
      expect(await envelopes(3)).toEqual([undefined, envelopeOf(1), envelopeOf(2)]);
      expect(await pendingIds()).toEqual([idOf(3)]);
    });

    it('lose all envelopes but the newest by number, and stay known', async () => {
      for (const n of [0, 1, 2, 3]) await logged(n);
      await store.prune(0, 2, 1e9);
      store = await opened.reopen();
      expect(await envelopes(4)).toEqual([null, null, envelopeOf(2), envelopeOf(3)]);
      expect((await store.get(idOf(0), log))?.index).toBe(0);
    });

    it('lose all envelopes but the newest that fit into the room', async () => {
      for (const n of [0, 1, 2]) await logged(n, { envelope: envelopeOf(n, 100) });
      const size = JSON.stringify(envelopeOf(0, 100)).length;
      await store.prune(0, MANY, 2 * size);
      expect(await envelopes(3)).toEqual([null, envelopeOf(1, 100), envelopeOf(2, 100)]);
      await store.prune(0, MANY, 2 * size - 1);
      expect(await envelopes(3)).toEqual([null, null, envelopeOf(2, 100)]);
    });

    it('keep the envelope that is on its way, and count it', async () => {
      for (const n of [0, 1]) await logged(n, { envelope: envelopeOf(n, 100) });
      await store.begin(receiptOf(2, { envelope: envelopeOf(2, 100) }), MANY);
      await store.prune(0, 1, 1);
      expect(await envelopes(2)).toEqual([null, null]);
      await store.confirm(idOf(2), 2);
      expect((await store.get(idOf(2), log))?.envelope).toEqual(envelopeOf(2, 100));
    });

    it('are not changed through what was handed in or out', async () => {
      const receipt = receiptOf(1);
      await store.begin(receipt, MANY);
      overwrite(receipt.envelope, { payload: 'changed' });
      overwrite((await store.pending())[0]!, { log: 'changed' });
      await store.confirm(idOf(1), 1);
      overwrite((await store.get(idOf(1), log))!.envelope!, { payload: 'changed' });
      expect(await store.get(idOf(1), log)).toEqual({ index: 1, envelope: envelopeOf(1) });
    });

    it('have beside them how a log has grown, the oldest point first', async () => {
      await store.addGrowth(log, 20.7, 5);
      await store.addGrowth(otherLog, 15, 9);
      await Promise.all([store.addGrowth(log, 10, 3), store.addGrowth(log, 20, 6)]);
      const growth = [
        { atMs: 10, size: 3 },
        { atMs: 20, size: 6 },
      ];
      overwrite(store.growth(log)[0]!, { size: 99 });
      expect(store.growth(log)).toEqual(growth);
      store = await opened.reopen();
      expect(store.growth(log)).toEqual(growth);
    });
  });
}
