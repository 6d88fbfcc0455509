import { MAX_LISTED_RECEIPTS } from '#shared/limits.ts';
import type { ReceiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptQuery } from '#shared/wire/receipt-list.ts';
import { openLogService } from '../../signal-server/log/log-service.ts';
import { systemClock } from '../../signal-server/machine/system-clock.ts';
import { ReceiptFinder } from '../../signal-server/receipts/receipt-finder.ts';
import { openSqliteStore } from '../../signal-server/store/sqlite/sqlite-store.ts';
import { entryBytes, madeEntry, MODELS } from '../support/log-entries.ts';
import { figure, type Figure } from './figures.ts';

const ALL: ReceiptQuery = { before: null, limit: 50, model: null, tier: null, from: null, to: null };
const TIMES = 200;
/** Appends that wait at the same time. */
const CLIENTS = 512;

/** How long a page of the list takes in a log with this many receipts, a minute apart, one in 997 of them disputed. */
export async function measureReceiptList(dataFolder: string, entries: number): Promise<Figure[]> {
  const store = await openSqliteStore(dataFolder);
  const log = await openLogService({
    ...{ dataFolder, origin: 'log.example/chorus', publicUrl: null, witnesses: [] },
    acknowledged: store.acknowledged,
    clock: systemClock,
    onError: (error) => {
      throw error;
    },
    onDoubt: (error) => {
      throw error;
    },
  });
  try {
    for (let first = 0; first < entries; first += CLIENTS) {
      const count = Math.min(CLIENTS, entries - first);
      await Promise.all(Array.from({ length: count }, (_, i) => log.append(entryBytes(receipt(first + i)))));
    }
    const finder = new ReceiptFinder({ log, listed: store.listed, catalog: { get: () => undefined } });
    const startedMs = performance.now();
    await finder.find(ALL);
    const listingMs = performance.now() - startedMs;

    const middle = receipt(entries / 2).finishedAt;
    const queries: readonly (readonly [string, Partial<ReceiptQuery>])[] = [
      ['the newest', {}],
      [`${MAX_LISTED_RECEIPTS} of them`, { limit: MAX_LISTED_RECEIPTS }],
      ['half-way back', { before: entries / 2 }],
      ['of one model', { model: MODELS.finch }],
      ['of a rare tier', { tier: 'disputed' }],
      ['of a tier that none has', { tier: 'settled' }],
      ['of a day half-way back', { from: middle, to: receipt(entries / 2 + 1440).finishedAt }],
      ['of one model and tier, up to half-way back', { model: MODELS.finch, tier: 'disputed', to: middle }],
    ];
    const figures = [figure(`list: the first, of ${entries} receipts`, 'ms', [listingMs])];
    for (const [name, query] of queries) {
      figures.push(figure(`list: a page, ${name}`, 'ms', await timeList(finder, { ...ALL, ...query })));
    }
    return figures;
  } finally {
    await log.stop();
    await store.close();
  }
}

function receipt(n: number): ReceiptEntry {
  return madeEntry(n, {
    manifest: n % 2 === 0 ? MODELS.wren : MODELS.finch,
    tier: n % 997 === 0 ? 'disputed' : 'checked',
  });
}

async function timeList(finder: ReceiptFinder, query: ReceiptQuery): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < TIMES; i++) {
    const startedMs = performance.now();
    JSON.stringify(await finder.find(query));
    times.push(performance.now() - startedMs);
  }
  return times;
}
