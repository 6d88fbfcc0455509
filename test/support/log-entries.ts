import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import type { ReceiptEntry } from '#shared/receipt/receipt-entry.ts';

/** Manifests, made up. */
export const MODELS = { wren: digestOf(utf8('wren')), finch: digestOf(utf8('finch')) } as const;

/** The log's entry of receipt `n`, made up: each finished a minute after the one before it, unless said otherwise. */
export function madeEntry(n: number, more: Partial<ReceiptEntry> = {}): ReceiptEntry {
  return {
    id: digestOf(utf8(`receipt ${n}`)),
    manifest: MODELS.wren,
    tier: 'checked',
    requester: digestOf(utf8('requester')) as string as PeerId,
    record: null,
    finishedAt: `${new Date(Date.UTC(2026, 2, 1, 0, n)).toISOString().slice(0, 19)}Z`,
    ...more,
  };
}

/** As it lies in the log. */
export function entryBytes({ id, manifest, tier, requester, finishedAt }: ReceiptEntry): Uint8Array<ArrayBuffer> {
  return utf8(['chorus-receipt-entry/1', id, manifest, tier, requester, finishedAt, ''].join('\n'));
}
