import { backoffMs } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import { ChorusError, toChorusError, type ErrorCode } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { BlobRef } from '../model/manifest.ts';
import type { BlobStore } from './blob-store.ts';
import { pieceRange } from './piece.ts';

const MAX_ATTEMPTS = 4;
const RETRY = { firstMs: 250, maxMs: 1_000 };
/** Pieces on their way at once. */
const CONCURRENCY = 4;
/** Failures that another attempt does not cure. */
const FINAL: readonly ErrorCode[] = ['cancelled', 'out-of-memory'];

export interface FetchBlobsDeps {
  readonly store: BlobStore;
  /** Bytes [start, end) of a blob from wherever they can be had; nothing about them is trusted. */
  readonly fetchRange: (
    digest: Digest,
    start: number,
    end: number,
    signal: AbortSignal,
  ) => Promise<Uint8Array<ArrayBuffer>>;
  readonly clock: Clock;
  /** Called first with what is here already, then after each piece. */
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
  readonly signal: AbortSignal;
}

interface Piece {
  readonly ref: BlobRef;
  readonly index: number;
}

/**
 * Brings all blobs into the store, piece by piece, leaving out what is there. Each piece is tried a few times with
 * growing pauses; what came stays, so that a later call goes on. Rejects with the last error of the first piece that
 * could not be had (`digest-mismatch`, `out-of-memory`, `cancelled`, or what `fetchRange` threw).
 */
export async function fetchBlobs(refs: readonly BlobRef[], deps: FetchBlobsDeps): Promise<void> {
  const { store, signal, onProgress } = deps;
  const missing: Piece[] = [];
  let doneBytes = 0;
  let totalBytes = 0;
  for (const ref of new Map(refs.map((ref) => [ref.digest, ref])).values()) {
    const here = await store.pieces(ref);
    totalBytes += ref.bytes;
    for (let index = 0; index < ref.pieces.length; index++) {
      if (here.has(index)) doneBytes += pieceBytes(ref, index);
      else missing.push({ ref, index });
    }
  }
  onProgress?.({ doneBytes, totalBytes });

  // One failure stops the other lanes.
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) stop.abort();
  const lane = async (): Promise<void> => {
    for (let piece = missing.shift(); piece; piece = missing.shift()) {
      await fetchPiece(piece, deps, stop.signal);
      doneBytes += pieceBytes(piece.ref, piece.index);
      onProgress?.({ doneBytes, totalBytes });
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  } finally {
    stop.abort();
    signal.removeEventListener('abort', onAbort);
  }
}

async function fetchPiece({ ref, index }: Piece, deps: FetchBlobsDeps, signal: AbortSignal): Promise<void> {
  const { start, end } = pieceRange(ref, index);
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw new ChorusError('cancelled', 'the download was stopped');
    try {
      const bytes = await deps.fetchRange(ref.digest, start, end, signal);
      return await deps.store.putPiece(ref, index, bytes);
    } catch (thrown) {
      const error = toChorusError(thrown);
      if (attempt >= MAX_ATTEMPTS || FINAL.includes(error.code)) throw error;
      await pause(backoffMs(attempt, RETRY), deps.clock, signal);
    }
  }
}

function pause(delayMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stopTimer = clock.setTimer(() => done(), delayMs);
    const done = (): void => {
      stopTimer();
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
  });
}

function pieceBytes(ref: BlobRef, index: number): number {
  const { start, end } = pieceRange(ref, index);
  return end - start;
}
