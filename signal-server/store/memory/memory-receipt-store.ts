import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest, SessionId } from '#shared/ids.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';
import { MAX_GROWTH, type BegunReceipt, type PendingReceipt, type ReceiptStore } from '../receipt-store.ts';

interface Kept {
  readonly pending: PendingReceipt;
  readonly record: BegunReceipt['record'];
  readonly atMs: number;
  /** Null until the log has it. */
  index: number | null;
  /** The envelope as JSON, which nobody can change; null once it is dropped. */
  envelope: string | null;
}

type Growth = LogStatus['history'][number];

export function createMemoryReceiptStore(): ReceiptStore {
  /** Receipts by id, in the order in which they were begun. */
  const receipts = new Map<Digest, Kept>();
  const growth = new Map<string, readonly Growth[]>();
  const countOf = (session: SessionId): number =>
    [...receipts.values()].filter(({ pending }) => pending.session === session).length;
  return {
    async begin({ id, session, record, log, logSize, atMs, envelope }, most) {
      const others = [...receipts.values()].filter(({ pending }) => pending.session === session && pending.id !== id);
      if (others.some((other) => contradicts({ id, record }, other))) return 'contradicted';
      if (countOf(session) >= most) return 'full';
      receipts.delete(id);
      const pending = { id, session, log, logSize };
      receipts.set(id, { pending, record, atMs: Math.floor(atMs), index: null, envelope: JSON.stringify(envelope) });
      return 'begun';
    },
    async confirm(id, index) {
      const kept = receipts.get(id);
      if (kept !== undefined) kept.index = index;
    },
    async abandon(id) {
      receipts.delete(id);
    },
    async prune(beforeMs, count, maxBytes) {
      for (const [id, { atMs, index }] of receipts) {
        if (index !== null && atMs < Math.floor(beforeMs)) receipts.delete(id);
      }
      dropEnvelopes([...receipts.values()], count, maxBytes);
    },
    async addGrowth(log, atMs, size) {
      const point = { atMs: Math.floor(atMs), size };
      const others = (growth.get(log) ?? []).filter((other) => other.atMs !== point.atMs);
      growth.set(log, [...others, point].sort((a, b) => a.atMs - b.atMs).slice(-MAX_GROWTH));
    },
    async get(id, log) {
      const kept = receipts.get(id);
      if (kept === undefined || kept.pending.log !== log || kept.index === null) return null;
      return { index: kept.index, envelope: kept.envelope === null ? null : (JSON.parse(kept.envelope) as Envelope) };
    },
    pending: async () =>
      [...receipts.values()]
        .flatMap(({ pending, index }) => (index === null ? [{ ...pending }] : []))
        .sort((a, b) => a.logSize - b.logSize),
    growth: (log) => (growth.get(log) ?? []).map((point) => ({ ...point })),
  };
}

function contradicts({ id, record: { number, previous } }: Pick<BegunReceipt, 'id' | 'record'>, other: Kept): boolean {
  const { record, pending } = other;
  if (record.number === number) return true;
  if (record.number === number - 1) return pending.id !== previous;
  return record.number === number + 1 && record.previous !== id;
}

function dropEnvelopes(receipts: readonly Kept[], count: number, maxBytes: number): void {
  const newestFirst = receipts
    .filter(({ envelope }) => envelope !== null)
    .reverse()
    .sort((a, b) => b.atMs - a.atMs);
  const oldestMs = newestFirst[count - 1]?.atMs ?? -Infinity;
  let bytes = 0;
  for (const kept of newestFirst) {
    const isWithinCount = kept.atMs >= oldestMs || kept.index === null;
    if (isWithinCount) bytes += Buffer.byteLength(kept.envelope!);
    if (kept.index !== null && (!isWithinCount || bytes > maxBytes)) kept.envelope = null;
  }
}
