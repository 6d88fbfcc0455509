import type { Digest } from '../ids.ts';
import type { BlobRef } from '../model/manifest.ts';

export interface StoredBlob {
  readonly digest: Digest;
  /** Bytes it takes now. */
  readonly storedBytes: number;
  /** Bytes it has when whole. */
  readonly totalBytes: number;
}

/** Pieces of a blob that are not what their digests say, or cannot be read. */
export interface DamagedBlob {
  readonly digest: Digest;
  readonly pieces: readonly number[];
}

/** A whole blob in a file, for a thread that can read files: its path goes over where its bytes would be copied. */
export interface BlobFile {
  readonly path: string;
}

/**
 * Blobs of a model where the device keeps them, piece by piece, across reloads. Failures reject with a ChorusError:
 * `out-of-memory` where the device has no room left, `internal` where the store itself fails.
 */
export interface BlobStore {
  /** The blob if all its pieces are here; null if not. Bytes are checked; what a Blob holds is known once it is read (`readBlobs`). */
  get(ref: BlobRef): Promise<Blob | Uint8Array<ArrayBuffer> | null>;
  /** As `get`, but unread and unchecked: where the blob lies. Stores whose blobs are Blobs have no need of it. */
  locate?(ref: BlobRef): Promise<BlobFile | Uint8Array<ArrayBuffer> | null>;
  /** Which pieces are here. */
  pieces(ref: BlobRef): Promise<ReadonlySet<number>>;
  /** Keeps one piece. Rejects with `digest-mismatch` if it is not the piece `ref` names, and keeps nothing then. */
  putPiece(ref: BlobRef, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Everything kept, whole or not. */
  list(): Promise<StoredBlob[]>;
  delete(digest: Digest): Promise<void>;
  /** Takes pieces that were found damaged for absent from now on, and others of their blob if need be. */
  dropPieces(damaged: DamagedBlob): Promise<void>;
}
