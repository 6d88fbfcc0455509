import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import type { ReceiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptQuery } from '#shared/wire/receipt-list.ts';
import { openLogService, type LogService } from '../../../signal-server/log/log-service.ts';
import { ReceiptFinder } from '../../../signal-server/receipts/receipt-finder.ts';
import { openSqliteStore } from '../../../signal-server/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../signal-server/store/store.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { entryBytes, madeEntry, MODELS } from '../../support/log-entries.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { realClock } from '../../support/real-clock.ts';

const ALL: ReceiptQuery = { before: null, limit: 50, model: null, tier: null, from: null, to: null };
const { wren, finch } = MODELS;

let folder: string;
let store: Store;
let log: LogService;
let finder: ReceiptFinder;

beforeEach(async () => {
  folder = await newFolder();
  await open();
});
afterEach(async () => {
  await close();
  await removeFolder(folder);
});

async function open(dataFolder = folder, origin = 'log.example/chorus'): Promise<void> {
  store = await openSqliteStore(folder);
  log = await openLogService({
    ...{ dataFolder, origin, publicUrl: null, witnesses: [] },
    acknowledged: store.acknowledged,
    clock: realClock,
    onError: (error) => {
      throw error;
    },
    onDoubt: (error) => {
      throw error;
    },
  });
  const catalog = { get: (digest: string) => (digest === wren ? { manifest: { name: 'wren' } } : undefined) as never };
  finder = new ReceiptFinder({ log, listed: store.listed, catalog });
}

async function close(): Promise<void> {
  await log.stop();
  await store.close();
}

/** Logs receipts 0, 1, … that say this. */
async function logged(...entries: Partial<ReceiptEntry>[]): Promise<void> {
  await Promise.all(entries.map((more, n) => log.append(entryBytes(madeEntry(n, more)))));
}

async function indexes(query: Partial<ReceiptQuery> = {}): Promise<number[]> {
  return (await finder.find({ ...ALL, ...query })).receipts.map(({ index }) => index);
}

/** The day `n` of a month. */
const day = (n: number): string => `2026-03-${String(n).padStart(2, '0')}T00:00:00Z`;

describe('the list of receipts', () => {
  it('has what the log says of each, the last first, page by page', async () => {
    await logged({}, {});
    await log.append(utf8('an entry of another kind'));
    await log.append(entryBytes(madeEntry(3, { manifest: finch })));
    await log.append(entryBytes(madeEntry(4)));
    const first = await finder.find({ ...ALL, limit: 3 });
    expect(first.size).toBe(5);
    expect(first.receipts.map(({ index }) => index)).toEqual([4, 3, 1]);
    const { manifest: model, ...entry } = madeEntry(4);
    expect(first.receipts[0]).toEqual({ index: 4, ...entry, model, modelName: 'wren' });
    expect(first.receipts[1]?.modelName).toBeNull();
    expect(await indexes({ before: 1 })).toEqual([0]);
    expect(await indexes({ before: 0 })).toEqual([]);
  });

  it.each([99, 2])('goes on from no entry %i that is no receipt', async (before) => {
    await logged({}, {});
    await log.append(utf8('an entry of another kind'));
    expect(await codeOfAsync(finder.find({ ...ALL, before }))).toBe('bad-message');
  });

  it('has what was logged since it was asked for last', async () => {
    await logged({}, {});
    expect(await indexes()).toEqual([1, 0]);
    await log.append(entryBytes(madeEntry(2)));
    expect(await indexes()).toEqual([2, 1, 0]);
  });

  it('is by the time at which the answers were finished, whenever they were logged', async () => {
    await logged({ finishedAt: day(2) }, { finishedAt: day(4) }, { finishedAt: day(3) }, { finishedAt: day(2) });
    expect(await indexes()).toEqual([1, 2, 3, 0]);
    expect(await indexes({ limit: 2, before: 2 })).toEqual([3, 0]);
    expect(await indexes({ before: 3 })).toEqual([0]);
  });

  it('does not shift under who pages through it', async () => {
    await logged({ finishedAt: day(2) }, { finishedAt: day(4) }, { finishedAt: day(6) });
    const [newest, next] = await indexes({ limit: 2 });
    await log.append(entryBytes(madeEntry(3, { finishedAt: day(8) })));
    expect([newest, next, ...(await indexes({ before: next! }))]).toEqual([2, 1, 0]);
  });

  it('is of one model, one tier and a time, or of all of these', async () => {
    await logged(
      { tier: 'disputed', finishedAt: day(1) },
      { manifest: finch, tier: 'disputed', finishedAt: day(2) },
      { manifest: finch, finishedAt: day(3) },
      { tier: 'disputed', finishedAt: day(4) },
    );
    expect(await indexes({ model: finch })).toEqual([2, 1]);
    expect(await indexes({ tier: 'disputed' })).toEqual([3, 1, 0]);
    expect(await indexes({ from: day(2), to: day(4) })).toEqual([2, 1]);
    expect(await indexes({ from: day(3) })).toEqual([3, 2]);
    expect(await indexes({ to: day(1) })).toEqual([]);
    expect(await indexes({ model: wren, tier: 'disputed', from: day(2) })).toEqual([3]);
    expect(await indexes({ tier: 'disputed', from: day(1), to: day(4), before: 1, limit: 1 })).toEqual([0]);
    expect(await indexes({ tier: 'disputed', to: day(2), before: 3 })).toEqual([0]);
    expect(await indexes({ tier: 'settled' })).toEqual([]);
  });

  it('is the same for many who ask at once, of many entries, and after a restart', async () => {
    await logged(...Array.from({ length: 700 }, (_, n) => ({ tier: n % 7 === 0 ? 'disputed' : 'checked' }) as const));
    const [one, other] = await Promise.all([indexes({ tier: 'disputed' }), indexes({ tier: 'disputed' })]);
    expect(one).toEqual(Array.from({ length: 50 }, (_, i) => 693 - 7 * i));
    expect(other).toEqual(one);
    await close();
    await open();
    await log.append(entryBytes(madeEntry(700, { tier: 'disputed' })));
    expect(await indexes({ tier: 'disputed', limit: 3 })).toEqual([700, 693, 686]);
  });

  it('has nothing of another log', async () => {
    await logged({}, {}, {});
    expect(await indexes()).toEqual([2, 1, 0]);
    await close();
    const other = await newFolder();
    await open(other, 'log.example/other');
    expect(await finder.find(ALL)).toEqual({ size: 0, receipts: [] });
    await logged({ manifest: finch });
    expect((await finder.find(ALL)).receipts.map(({ model }) => model)).toEqual([finch]);
    await removeFolder(other);
  });
});
