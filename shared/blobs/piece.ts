import { toHex } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { BLOB_PIECE_BYTES } from '../limits.ts';
import type { BlobRef } from '../model/manifest.ts';

/** Where piece `index` lies in its blob: [start, end) in bytes. Throws RangeError if there is no such piece. */
export function pieceRange(ref: BlobRef, index: number): { start: number; end: number } {
  if (!Number.isInteger(index) || index < 0 || index >= ref.pieces.length) throw new RangeError(`no piece ${index}`);
  const start = index * BLOB_PIECE_BYTES;
  return { start, end: Math.min(start + BLOB_PIECE_BYTES, ref.bytes) };
}

/** Rejects with `digest-mismatch` unless `bytes` are piece `index` of the blob. By WebCrypto: pages hash many megabytes. */
export async function checkPiece(ref: BlobRef, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const { start, end } = pieceRange(ref, index);
  const isRight =
    bytes.length === end - start &&
    toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))) === ref.pieces[index];
  if (isRight) return;
  throw new ChorusError('digest-mismatch', `piece ${index} of blob ${ref.digest} is not what its digest says`, {
    digest: ref.digest,
    piece: index,
  });
}
