import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ReceiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptQuery } from '#shared/wire/receipt-list.ts';
import type { ListedReceipts, LoggedEntry } from '../../signal-server/store/listed-receipts.ts';
import { madeEntry, MODELS } from '../support/log-entries.ts';
import { overwrite, type OpenedStore } from './opened-store.ts';

const [log, otherLog] = ['log.example+1+AA==', 'log.example+2+AA=='];
const { wren, finch } = MODELS;
const ALL: ReceiptQuery = { before: null, limit: 50, model: null, tier: null, from: null, to: null };
const day = (n: number): string => `2026-03-${String(n).padStart(2, '0')}T00:00:00Z`;
const entryOf = (index: number, more: Partial<ReceiptEntry> = {}): LoggedEntry => ({
  index,
  ...madeEntry(index, { manifest: wren, tier: 'checked', finishedAt: day(1), ...more }),
});

/** The contract of every ListedReceipts. */
export function describeListedReceipts(name: string, open: () => Promise<OpenedStore<ListedReceipts>>): void {
  describe(`the list of receipts kept by ${name}`, () => {
    let opened: OpenedStore<ListedReceipts>;
    let store: ListedReceipts;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    const indexes = async (query: Partial<ReceiptQuery> = {}): Promise<number[] | null> =>
      (await store.find({ ...ALL, ...query }))?.map(({ index }) => index) ?? null;

    it('grows step by step, and is there after a restart', async () => {
      expect(store.size(log)).toBeNull();
      await store.put(log, 0, 2, [entryOf(0), entryOf(1)]);
      await store.put(log, 2, 5, [entryOf(3)]);
      store = await opened.reopen();
      expect(store.size(log)).toBe(5);
      expect(await store.find(ALL)).toEqual([entryOf(3), entryOf(1), entryOf(0)]);
    });

    it('has the new in the place of what there was from an entry on', async () => {
      await store.put(log, 0, 3, [entryOf(0), entryOf(1), entryOf(2)]);
      await store.put(log, 1, 2, [entryOf(1, { manifest: finch })]);
      expect(store.size(log)).toBe(2);
      expect(await store.find(ALL)).toEqual([entryOf(1, { manifest: finch }), entryOf(0)]);
    });

    it('is of one log', async () => {
      await store.put(log, 0, 1, [entryOf(0)]);
      expect(store.size(otherLog)).toBeNull();
      await store.put(otherLog, 0, 0, []);
      expect([store.size(log), store.size(otherLog)]).toEqual([null, 0]);
      expect(await store.find(ALL)).toEqual([]);
    });

    it('is by time and then by entry, page by page', async () => {
      const days = [2, 4, 3, 2];
      await store.put(
        log,
        0,
        4,
        days.map((n, index) => entryOf(index, { finishedAt: day(n) })),
      );
      expect(await indexes()).toEqual([1, 2, 3, 0]);
      expect(await indexes({ limit: 2 })).toEqual([1, 2]);
      expect(await indexes({ before: 2 })).toEqual([3, 0]);
      expect(await indexes({ before: 3, limit: 5 })).toEqual([0]);
      expect(await indexes({ before: 0 })).toEqual([]);
      expect(await indexes({ before: 4 })).toBeNull();
    });

    it('is of one model, one tier and a time, or of all of these', async () => {
      await store.put(log, 0, 4, [
        entryOf(0, { tier: 'disputed', finishedAt: day(1) }),
        entryOf(1, { manifest: finch, tier: 'disputed', finishedAt: day(2) }),
        entryOf(2, { manifest: finch, finishedAt: day(3) }),
        entryOf(3, { tier: 'disputed', finishedAt: day(4) }),
      ]);
      expect(await indexes({ model: finch })).toEqual([2, 1]);
      expect(await indexes({ tier: 'disputed' })).toEqual([3, 1, 0]);
      expect(await indexes({ from: day(2), to: day(4) })).toEqual([2, 1]);
      expect(await indexes({ model: wren, tier: 'disputed', from: day(2) })).toEqual([3]);
      expect(await indexes({ tier: 'disputed', to: day(2), before: 3 })).toEqual([0]);
      expect(await indexes({ tier: 'settled' })).toEqual([]);
    });

    it('is not changed through what was handed in or out', async () => {
      const given = [entryOf(0)];
      await store.put(log, 0, 1, given);
      overwrite(given[0]!, { tier: 'disputed' });
      given.push(entryOf(1));
      overwrite((await store.find(ALL))![0]!, { tier: 'settled' });
      expect(await store.find(ALL)).toEqual([entryOf(0)]);
    });
  });
}
