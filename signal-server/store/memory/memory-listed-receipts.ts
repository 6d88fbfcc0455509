import type { ListedReceipts, LoggedEntry } from '../listed-receipts.ts';

export function createMemoryListedReceipts(): ListedReceipts {
  let listed: { readonly log: string; readonly size: number } | null = null;
  /** Entries, the smallest index first. */
  let entries: readonly LoggedEntry[] = [];
  return {
    async put(log, start, end, receipts) {
      entries = [...entries.filter(({ index }) => index < start), ...receipts.map((entry) => ({ ...entry }))];
      listed = { log, size: end };
    },
    size: (log) => (listed?.log === log ? listed.size : null),
    async find({ model, tier, from, to, before, limit }) {
      const last = before === null ? null : entries.find(({ index }) => index === before);
      if (last === undefined) return null;
      return entries
        .filter(
          (entry) =>
            (model === null || entry.manifest === model) &&
            (tier === null || entry.tier === tier) &&
            (from === null || entry.finishedAt >= from) &&
            (to === null || entry.finishedAt < to) &&
            (last === null || isBefore(entry, last)),
        )
        .sort((a, b) => (isBefore(a, b) ? 1 : -1))
        .slice(0, limit)
        .map((entry) => ({ ...entry }));
    },
  };
}

function isBefore(a: LoggedEntry, b: LoggedEntry): boolean {
  return a.finishedAt < b.finishedAt || (a.finishedAt === b.finishedAt && a.index < b.index);
}
