import { beforeEach, describe, expect, it } from 'vitest';
import { readBlobs, type StoredBlobs } from '#shared/blobs/read-blobs.ts';
import { withBlobs } from '#shared/blobs/with-blobs.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { makeBlob, pieceOf } from '../../contract/blob-store-contract.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryBlobStore } from '../../support/memory-blob-store.ts';

const [one, two] = [makeBlob(2 * BLOB_PIECE_BYTES + 9), makeBlob(500)];
const refs = [one.ref, two.ref];

/** What it was given is handed out unread, as a browser does, with the spoilt pieces in it. */
class UnreadStore extends MemoryBlobStore {
  readonly spoilt = new Set<string>();
  /** True for a disk that spoils the same pieces again. */
  spoilsAgain = false;

  override async get(ref: BlobRef): Promise<never> {
    const bytes = await super.get(ref);
    for (const index of ref.pieces.keys()) {
      if (bytes !== null && this.spoilt.has(`${ref.digest} ${index}`)) bytes[index * BLOB_PIECE_BYTES]! ^= 1;
    }
    return (bytes && new Blob([bytes])) as never;
  }

  override async putPiece(...piece: Parameters<MemoryBlobStore['putPiece']>): Promise<void> {
    await super.putPiece(...piece);
    if (!this.spoilsAgain) this.spoilt.delete(`${piece[0].digest} ${piece[1]}`);
  }
}

describe('work with stored blobs', () => {
  let store: UnreadStore;
  let asked: [Digest, number][];
  let damage: number[];
  const clock = new FakeClock();
  const run = (use: (blobs: StoredBlobs) => Promise<unknown> = (blobs) => readBlobs(refs, blobs, clock)) =>
    withBlobs(
      refs,
      {
        store,
        clock,
        fetchRange: (digest, start, end) => {
          asked.push([digest, start / BLOB_PIECE_BYTES]);
          return Promise.resolve((digest === one.ref.digest ? one : two).bytes.slice(start, end));
        },
        onDamaged: (pieces) => damage.push(pieces),
        signal: new AbortController().signal,
      },
      use,
    );
  beforeEach(async () => {
    store = new UnreadStore();
    asked = [];
    damage = [];
    for (const { ref, bytes } of [one, two]) {
      for (const index of ref.pieces.keys()) await store.putPiece(ref, index, pieceOf(ref, bytes, index));
    }
  });

  it('fetches nothing where all is there and sound', async () => {
    expect(await run()).toHaveProperty('size', 2);
    expect([asked, damage]).toEqual([[], []]);
  });

  it('fetches the damaged pieces anew, no others, and tells of them', async () => {
    store.spoilt.add(`${one.ref.digest} 1`).add(`${two.ref.digest} 0`);
    const read = (await run()) as Map<Digest, Uint8Array>;
    expect(asked).toEqual([
      [one.ref.digest, 1],
      [two.ref.digest, 0],
    ]);
    expect(damage).toEqual([2]);
    expect(Buffer.compare(read.get(one.ref.digest) as Uint8Array, one.bytes)).toBe(0);
  });

  it('gives up on a store that spoils the same piece each time', async () => {
    store.spoilsAgain = true;
    store.spoilt.add(`${one.ref.digest} 0`);
    expect(await codeOfAsync(run())).toBe('digest-mismatch');
    expect(asked.length).toBe(2);
  });

  it('fetches again what was cleared away before it was read', async () => {
    const get = store.get.bind(store);
    let gets = 0;
    store.get = async (ref) => {
      if (++gets === 1) await store.delete(one.ref.digest);
      return get(ref);
    };
    expect(await run()).toHaveProperty('size', 2);
    expect([asked.length, damage]).toEqual([one.ref.pieces.length, [one.ref.pieces.length]]);
  });

  it('gives up on a store that loses everything', async () => {
    const put = store.putPiece.bind(store);
    store.putPiece = async (ref, ...piece) => {
      await put(ref, ...piece);
      await store.delete(ref.digest);
    };
    await store.delete(two.ref.digest);
    expect(await codeOfAsync(run())).toBe('digest-mismatch');
  });

  it('hands on any other failure at once', async () => {
    expect(await codeOfAsync(run(() => Promise.reject(new ChorusError('probe-failed', 'no'))))).toBe('probe-failed');
    expect(asked).toEqual([]);
  });
});
