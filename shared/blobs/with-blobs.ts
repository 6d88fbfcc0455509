import { ChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { BlobRef } from '../model/manifest.ts';
import { fetchBlobs, type FetchBlobsDeps } from './fetch-blobs.ts';
import { damagedBlobs, type StoredBlobs } from './read-blobs.ts';

/** How often a store may lose or spoil what was just fetched. */
const MAX_ROUNDS = 3;

export interface WithBlobsDeps extends FetchBlobsDeps {
  /** Called before damaged pieces are fetched anew. */
  readonly onDamaged?: (pieces: number) => void;
}

/**
 * The outcome of `use` with all blobs, fetched where they are not in the store. Pieces that `use` finds damaged
 * (`readBlobs`) are dropped and fetched anew, and `use` is called again. Rejects as `fetchBlobs` and `use` do, and with `internal` where
 * the store loses blobs again and again.
 */
export async function withBlobs<Result>(
  refs: readonly BlobRef[],
  deps: WithBlobsDeps,
  use: (blobs: StoredBlobs) => Promise<Result>,
): Promise<Result> {
  const { store, signal, onDamaged } = deps;
  for (let round = 1; ; round++) {
    await fetchBlobs(refs, deps);
    const blobs = new Map<Digest, Blob | Uint8Array<ArrayBuffer>>();
    for (const ref of refs) {
      const blob = await store.get(ref);
      if (blob !== null) blobs.set(ref.digest, blob);
    }
    signal.throwIfAborted();
    if (refs.every(({ digest }) => blobs.has(digest))) {
      try {
        return await use(blobs);
      } catch (thrown) {
        const damaged = damagedBlobs(thrown);
        if (damaged.length === 0 || round === MAX_ROUNDS) throw thrown;
        for (const blob of damaged) await store.dropPieces(blob);
        onDamaged?.(damaged.reduce((sum, { pieces }) => sum + pieces.length, 0));
      }
    } else if (round === MAX_ROUNDS) {
      throw new ChorusError('internal', 'parts of the model were lost from the store again and again');
    }
  }
}
