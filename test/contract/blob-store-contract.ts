import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '#shared/blobs/blob-store.ts';
import { pieceRange } from '#shared/blobs/piece.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { codeOfAsync } from '../support/code-of.ts';

/** The promises of every BlobStore. `reopen` is what a reload does: the same place, seen anew. */
export function describeBlobStore(
  name: string,
  open: () => Promise<{ store: BlobStore; reopen: () => Promise<BlobStore>; release: () => Promise<void> }>,
): void {
  describe(`blobs kept by ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    let store: BlobStore;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    it('are whole once every piece is there, in whatever order they came', async () => {
      const { ref, bytes } = makeBlob(2 * BLOB_PIECE_BYTES + 5);
      for (const index of [2, 0]) await store.putPiece(ref, index, pieceOf(ref, bytes, index));
      expect(await store.get(ref)).toBeNull();
      expect([...(await store.pieces(ref))].sort()).toEqual([0, 2]);
      await store.putPiece(ref, 1, pieceOf(ref, bytes, 1));
      expect(await digestOfStored(store, ref)).toBe(ref.digest);
    });

    it('are there again after a reload, as far as they had come', async () => {
      const { ref, bytes } = makeBlob(BLOB_PIECE_BYTES + 1);
      await store.putPiece(ref, 1, pieceOf(ref, bytes, 1));
      store = await opened.reopen();
      expect([...(await store.pieces(ref))]).toEqual([1]);
      await store.putPiece(ref, 0, pieceOf(ref, bytes, 0));
      expect(await digestOfStored(store, ref)).toBe(ref.digest);
    });

    it('take no piece that is not theirs', async () => {
      const { ref, bytes } = makeBlob(BLOB_PIECE_BYTES + 10);
      const wrong = pieceOf(ref, bytes, 1);
      wrong[0] = (wrong[0] as number) ^ 1;
      expect(await codeOfAsync(store.putPiece(ref, 1, wrong))).toBe('digest-mismatch');
      expect(await codeOfAsync(store.putPiece(ref, 1, pieceOf(ref, bytes, 1).slice(1)))).toBe('digest-mismatch');
      expect(await codeOfAsync(store.putPiece(ref, 0, pieceOf(ref, bytes, 1)))).toBe('digest-mismatch');
      expect((await store.pieces(ref)).size).toBe(0);
    });

    it('are not whole for a manifest that names other pieces under the same digest', async () => {
      const { ref, bytes } = makeBlob(100);
      await store.putPiece(ref, 0, bytes);
      const forged = { ...ref, pieces: [makeBlob(101).ref.digest] };
      expect(await store.get(forged)).toBeNull();
      expect((await store.pieces(forged)).size).toBe(0);
    });

    it('are listed with their sizes and can be deleted', async () => {
      const [whole, part] = [makeBlob(300), makeBlob(BLOB_PIECE_BYTES + 7)];
      await store.putPiece(whole.ref, 0, whole.bytes);
      await store.putPiece(part.ref, 1, pieceOf(part.ref, part.bytes, 1));
      const list = await store.list();
      expect(list.find(({ digest }) => digest === whole.ref.digest)).toEqual({
        digest: whole.ref.digest,
        storedBytes: 300,
        totalBytes: 300,
      });
      expect(list.find(({ digest }) => digest === part.ref.digest)?.storedBytes).toBe(7);
      await store.delete(whole.ref.digest);
      expect((await store.list()).map(({ digest }) => digest)).toEqual([part.ref.digest]);
      expect(await store.get(whole.ref)).toBeNull();
    });

    it('lack what was dropped, until it comes again', async () => {
      const { ref, bytes } = makeBlob(BLOB_PIECE_BYTES + 10);
      for (const index of [0, 1]) await store.putPiece(ref, index, pieceOf(ref, bytes, index));
      await store.dropPieces({ digest: ref.digest, pieces: [1] });
      expect(await store.get(ref)).toBeNull();
      const here = await store.pieces(ref);
      expect(here.has(1)).toBe(false);
      for (const index of [0, 1]) {
        if (!here.has(index)) await store.putPiece(ref, index, pieceOf(ref, bytes, index));
      }
      expect(await digestOfStored(store, ref)).toBe(ref.digest);
    });

    it('may be empty', async () => {
      const { ref } = makeBlob(0);
      expect(await digestOfStored(store, ref)).toBe(ref.digest);
    });
  });
}

export function makeBlob(length: number): { ref: BlobRef; bytes: Uint8Array<ArrayBuffer> } {
  const bytes = new Uint8Array(length).map((_, i) => i * 17 + (i >> 10));
  const pieces = Array.from({ length: Math.ceil(length / BLOB_PIECE_BYTES) }, (_, i) =>
    digestOf(bytes.subarray(i * BLOB_PIECE_BYTES, (i + 1) * BLOB_PIECE_BYTES)),
  );
  return { ref: { digest: digestOf(bytes), bytes: length, pieces }, bytes };
}

export function pieceOf(ref: BlobRef, bytes: Uint8Array<ArrayBuffer>, index: number): Uint8Array<ArrayBuffer> {
  const { start, end } = pieceRange(ref, index);
  return bytes.slice(start, end);
}

async function digestOfStored(store: BlobStore, ref: BlobRef): Promise<string | null> {
  const stored = await store.get(ref);
  if (!stored) return null;
  return digestOf(stored instanceof Uint8Array ? stored : new Uint8Array(await stored.arrayBuffer()));
}
