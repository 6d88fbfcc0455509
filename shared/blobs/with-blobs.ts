import type { ChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { BlobRef } from '../model/manifest.ts';
import type { BlobStore, DamagedBlob } from './blob-store.ts';
import { fetchBlobs, type FetchBlobsDeps } from './fetch-blobs.ts';
import { damagedBlobs, damageError } from './read-blobs.ts';

/** How often a store may lose or spoil what was just fetched. */
const MAX_ROUNDS = 3;

export interface WithBlobsDeps extends FetchBlobsDeps {
  /** Called before damaged or lost pieces are fetched anew. */
  readonly onDamaged?: (pieces: number) => void;
}

/**
 * The outcome of `use` with all blobs as `find` gives them, fetched where they are not in the store. Pieces that `use` finds damaged
 * (`readBlobs`), or that the store has lost, are dropped and fetched anew, and `use` is called again. Rejects as `fetchBlobs` and `use` do,
 * with `digest-mismatch` where that does not help.
 */
export async function withBlobs<Result, Stored = Blob | Uint8Array<ArrayBuffer>>(
  refs: readonly BlobRef[],
  deps: WithBlobsDeps,
  use: (blobs: ReadonlyMap<Digest, Stored>) => Promise<Result>,
  find = (ref: BlobRef): Promise<Stored | null> => deps.store.get(ref) as Promise<Stored | null>,
): Promise<Result> {
  const { store, signal, onDamaged } = deps;
  for (let round = 1; ; round++) {
    await fetchBlobs(refs, deps);
    const blobs = new Map<Digest, Stored>();
    for (const ref of refs) {
      const blob = await find(ref);
      if (blob !== null) blobs.set(ref.digest, blob);
    }
    signal.throwIfAborted();
    try {
      if (blobs.size < new Set(refs.map(({ digest }) => digest)).size) throw await lostBlobs(refs, store);
      return await use(blobs);
    } catch (thrown) {
      const damaged = damagedBlobs(thrown);
      if (damaged.length === 0 || round === MAX_ROUNDS) throw thrown;
      for (const blob of damaged) await store.dropPieces(blob);
      onDamaged?.(damaged.reduce((sum, { pieces }) => sum + pieces.length, 0));
    }
  }
}

/** What was cleared away as soon as it was there is as good as damaged. */
async function lostBlobs(refs: readonly BlobRef[], store: BlobStore): Promise<ChorusError> {
  const lost: DamagedBlob[] = [];
  for (const ref of refs) {
    const here = await store.pieces(ref);
    const pieces = [...ref.pieces.keys()].filter((index) => !here.has(index));
    if (pieces.length > 0) lost.push({ digest: ref.digest, pieces });
  }
  return damageError(lost, 'what this device was to keep of the model is gone');
}
