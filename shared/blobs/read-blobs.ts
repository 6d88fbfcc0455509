import type { Clock } from '../clock.ts';
import { ChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { BlobRef } from '../model/manifest.ts';
import type { DamagedBlob } from './blob-store.ts';
import { checkPiece, pieceRange } from './piece.ts';

/** Blobs as stores give them. */
export type StoredBlobs = ReadonlyMap<Digest, Blob | Uint8Array<ArrayBuffer>>;

/** Disks that sleep take seconds; beyond this the piece counts as unreadable. */
const READ_TIMEOUT_MS = 10_000;
/** Pieces read at once. */
const CONCURRENCY = 4;

/**
 * The bytes of blobs that were stored, each piece hashed as it is read. Throws `bad-message` if one is not among `stored`,
 * and, once all have been read, one `digest-mismatch` for all that is damaged or unreadable (`damagedBlobs`).
 */
export async function readBlobs(
  refs: readonly BlobRef[],
  stored: StoredBlobs,
  clock: Pick<Clock, 'setTimer'>,
): Promise<Map<Digest, Uint8Array<ArrayBuffer>>> {
  const read = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const damaged: DamagedBlob[] = [];
  let isSilent = false;
  for (const ref of refs) {
    const blob = stored.get(ref.digest);
    if (blob === undefined)
      throw new ChorusError('bad-message', `blob ${ref.digest} is needed, but was not handed over`);
    if (blob instanceof Uint8Array) {
      read.set(ref.digest, blob);
      continue;
    }
    const bytes = makeRoom(ref);
    // A store that does not answer is not asked for the rest.
    const wrong: readonly number[] | null = isSilent ? null : await readPieces(ref, blob, bytes, clock);
    isSilent = wrong === null;
    if (wrong?.length === 0) read.set(ref.digest, bytes);
    else damaged.push({ digest: ref.digest, pieces: wrong ?? [...ref.pieces.keys()] });
  }
  if (damaged.length === 0) return read;
  throw damageError(damaged, 'what this device had kept of the model is damaged');
}

export function damageError(damaged: readonly DamagedBlob[], message: string): ChorusError {
  return new ChorusError('digest-mismatch', message, { damaged });
}

/** What a `damageError` is about; nothing of any other. */
export function damagedBlobs(thrown: unknown): readonly DamagedBlob[] {
  if (!(thrown instanceof ChorusError) || thrown.code !== 'digest-mismatch') return [];
  return (thrown.details['damaged'] as readonly DamagedBlob[] | undefined) ?? [];
}

/** Reads into `bytes`; the result is the pieces that are damaged, null where a read does not end. */
async function readPieces(
  ref: BlobRef,
  blob: Blob,
  bytes: Uint8Array<ArrayBuffer>,
  clock: Pick<Clock, 'setTimer'>,
): Promise<readonly number[] | null> {
  const damaged: number[] = [];
  const waiting = ref.pieces.keys();
  let isSilent = false;
  const lane = async (): Promise<void> => {
    for (const index of waiting) {
      const { start, end } = pieceRange(ref, index);
      const piece = await inTime(blob.slice(start, end).arrayBuffer(), clock);
      isSilent ||= piece === null;
      if (isSilent || piece === null) return;
      if (await isPiece(ref, index, piece)) bytes.set(piece, start);
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

function makeRoom(ref: BlobRef): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(ref.bytes);
  } catch {
    throw new ChorusError('out-of-memory', `there is no memory for ${ref.bytes} bytes of the model`);
  }
}
