import type { Clock } from '../clock.ts';
import { ChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { BLOB_PIECE_BYTES } from '../limits.ts';
import type { BlobRef } from '../model/manifest.ts';
import type { BlobFile, DamagedBlob } from './blob-store.ts';
import { checkPiece, pieceRange } from './piece.ts';

/** Blobs as stores give them. */
export type StoredBlobs = ReadonlyMap<Digest, Blob | Uint8Array<ArrayBuffer>>;

/** Blobs as they are handed to a thread that reads them. */
export type LocatedBlobs = ReadonlyMap<Digest, Blob | BlobFile | Uint8Array<ArrayBuffer>>;

/** A blob that is read part by part: what of a Blob is needed. */
export interface PieceSource {
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** Blobs that can be read here. */
export type ReadableBlobs = ReadonlyMap<Digest, PieceSource | Uint8Array<ArrayBuffer>>;

/** Disks that sleep take seconds; beyond this the piece counts as unreadable. */
const READ_TIMEOUT_MS = 10_000;
/** Pieces read at once. */
const CONCURRENCY = 4;
const DAMAGED = 'what this device had kept of the model is damaged';

/**
 * The bytes of blobs that were stored, each piece hashed as it is read. Throws `bad-message` if one is not among `stored`,
 * and, once all have been read, one `digest-mismatch` for all that is damaged or unreadable (`damagedBlobs`).
 */
export async function readBlobs(
  refs: readonly BlobRef[],
  stored: ReadableBlobs,
  clock: Pick<Clock, 'setTimer'>,
): Promise<Map<Digest, Uint8Array<ArrayBuffer>>> {
  const read = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const damaged = await eachBlob(refs, stored, async (ref, blob) => {
    if (blob instanceof Uint8Array) {
      read.set(ref.digest, blob);
      return [];
    }
    const bytes = makeRoom(ref);
    const wrong = await readPieces(ref, blob, ref.pieces.keys(), (piece, start) => bytes.set(piece, start), clock);
    if (wrong?.length === 0) read.set(ref.digest, bytes);
    return wrong;
  });
  if (damaged.length === 0) return read;
  throw damaged.error;
}

/** Reads all blobs and keeps nothing: throws for all that is damaged, as `readBlobs`. */
export async function checkBlobs(
  refs: readonly BlobRef[],
  stored: ReadableBlobs,
  clock: Pick<Clock, 'setTimer'>,
): Promise<void> {
  const damaged = await eachBlob(refs, stored, async (ref, blob) =>
    blob instanceof Uint8Array ? [] : readPieces(ref, blob, ref.pieces.keys(), () => undefined, clock),
  );
  if (damaged.length > 0) throw damaged.error;
}

/** Looks at blobs in turn; `look` gives a blob's damaged pieces, null where its store does not answer: that one is not asked for the rest. */
async function eachBlob(
  refs: readonly BlobRef[],
  stored: ReadableBlobs,
  look: (ref: BlobRef, blob: PieceSource | Uint8Array<ArrayBuffer>) => Promise<readonly number[] | null>,
): Promise<{ readonly length: number; readonly error: ChorusError }> {
  const damaged: DamagedBlob[] = [];
  let isSilent = false;
  for (const ref of refs) {
    const blob = blobIn(stored, ref);
    const wrong: readonly number[] | null = isSilent && !(blob instanceof Uint8Array) ? null : await look(ref, blob);
    isSilent ||= wrong === null;
    if (wrong?.length !== 0) damaged.push({ digest: ref.digest, pieces: wrong ?? [...ref.pieces.keys()] });
  }
  return { length: damaged.length, error: damageError(damaged, DAMAGED) };
}

function blobIn(stored: ReadableBlobs, ref: BlobRef): PieceSource | Uint8Array<ArrayBuffer> {
  const blob = stored.get(ref.digest);
  if (blob !== undefined) return blob;
  throw new ChorusError('bad-message', `blob ${ref.digest} is needed, but was not handed over`);
}

/** Bytes [start, end) of a blob, each piece that has some of them hashed as it is read. Throws as `readBlobs`. */
export async function readRange(
  ref: BlobRef,
  stored: ReadableBlobs,
  [start, end]: readonly [start: number, end: number],
  clock: Pick<Clock, 'setTimer'>,
): Promise<Uint8Array<ArrayBuffer>> {
  const blob = blobIn(stored, ref);
  if (blob instanceof Uint8Array) return blob.subarray(start, end);
  const bytes = makeRoom({ bytes: end - start });
  const first = Math.floor(start / BLOB_PIECE_BYTES);
  const indexes = ref.pieces.slice(first, Math.ceil(end / BLOB_PIECE_BYTES)).map((_, i) => first + i);
  const take = (piece: Uint8Array, at: number): void => {
    const from = Math.max(start, at);
    bytes.set(piece.subarray(from - at, end - at), from - start);
  };
  const wrong = await readPieces(ref, blob, indexes.values(), take, clock);
  if (wrong?.length === 0) return bytes;
  throw damageError([{ digest: ref.digest, pieces: wrong ?? indexes }], DAMAGED);
}

export function damageError(damaged: readonly DamagedBlob[], message: string): ChorusError {
  return new ChorusError('digest-mismatch', message, { damaged });
}

/** What a `damageError` is about; nothing of any other. */
export function damagedBlobs(thrown: unknown): readonly DamagedBlob[] {
  if (!(thrown instanceof ChorusError) || thrown.code !== 'digest-mismatch') return [];
  return (thrown.details['damaged'] as readonly DamagedBlob[] | undefined) ?? [];
}

/** Reads pieces and hands the right ones to `take`; the result is those that are damaged, null where a read does not end. */
async function readPieces(
  ref: BlobRef,
  blob: PieceSource,
  indexes: IterableIterator<number>,
  take: (piece: Uint8Array<ArrayBuffer>, start: number) => void,
  clock: Pick<Clock, 'setTimer'>,
): Promise<readonly number[] | null> {
  const damaged: number[] = [];
  let isSilent = false;
  const lane = async (): Promise<void> => {
    for (const index of indexes) {
      const { start, end } = pieceRange(ref, index);
      const piece = await inTime(blob.slice(start, end).arrayBuffer(), clock);
      isSilent ||= piece === null;
      if (isSilent || piece === null) return;
      if (await isPiece(ref, index, piece)) take(piece, start);
      else damaged.push(index);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return isSilent ? null : damaged.sort((a, b) => a - b);
}

function isPiece(ref: BlobRef, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  return checkPiece(ref, index, bytes).then(
    () => true,
    () => false,
  );
}

/** What was read, nothing where it cannot be read; null where reading does not end. */
function inTime(
  reading: Promise<ArrayBuffer>,
  clock: Pick<Clock, 'setTimer'>,
): Promise<Uint8Array<ArrayBuffer> | null> {
  return new Promise((resolve) => {
    const stopTimer = clock.setTimer(() => resolve(null), READ_TIMEOUT_MS);
    const ended = (read: ArrayBuffer): void => {
      stopTimer();
      resolve(new Uint8Array(read));
    };
    reading.then(ended, () => ended(new ArrayBuffer(0)));
  });
}

function makeRoom(ref: Pick<BlobRef, 'bytes'>): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(ref.bytes);
  } catch {
    throw new ChorusError('out-of-memory', `there is no memory for ${ref.bytes} bytes of the model`);
  }
}
