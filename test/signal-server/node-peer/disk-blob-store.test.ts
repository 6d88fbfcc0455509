import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pieceRange } from '#shared/blobs/piece.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { createDiskBlobStore } from '../../../signal-server/node-peer/disk-blob-store.ts';

const bytes = new Uint8Array(2 * BLOB_PIECE_BYTES + 3).map((_, i) => i % 251);
const pieces = [0, 1, 2].map((i) => bytes.slice(i * BLOB_PIECE_BYTES, (i + 1) * BLOB_PIECE_BYTES));
const ref: BlobRef = { digest: digestOf(bytes), bytes: bytes.length, pieces: pieces.map((piece) => digestOf(piece)) };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-blobs-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('createDiskBlobStore', () => {
  it('reads a folder of whole blobs, such as a server has', async () => {
    await writeFile(join(folder, ref.digest), bytes);
    const store = createDiskBlobStore(folder);
    expect([...(await store.pieces(ref))]).toEqual([0, 1, 2]);
    expect(Buffer.compare((await store.get(ref)) as Uint8Array, bytes)).toBe(0);
  });

  it('leaves one whole file and nothing else where stores in several processes fetch the same blob', async () => {
    const stores = [createDiskBlobStore(folder), createDiskBlobStore(folder)];
    await Promise.all(stores.flatMap((store) => pieces.map((piece, index) => store.putPiece(ref, index, piece))));
    expect((await readdir(folder)).filter((name) => name !== 'partial')).toEqual([ref.digest]);
    expect(await readdir(join(folder, 'partial'))).toEqual([]);
    expect(pieceRange(ref, 2).end).toBe(bytes.length);
  });

  it('takes a damaged file for absent, so that it is fetched again', async () => {
    await writeFile(join(folder, ref.digest), bytes.with(5, 77));
    const store = createDiskBlobStore(folder);
    expect(await store.get(ref)).toBeNull();
    expect((await store.pieces(ref)).size).toBe(0);
  });

  it('takes a file that cannot be read for absent, so that it is fetched again', async () => {
    await mkdir(join(folder, ref.digest));
    const store = createDiskBlobStore(folder);
    expect(await store.get(ref)).toBeNull();
    await Promise.all(pieces.map((piece, index) => store.putPiece(ref, index, piece)));
    expect(Buffer.compare((await store.get(ref)) as Uint8Array, bytes)).toBe(0);
  });

  async function leavePieces(...contents: Uint8Array[]): Promise<void> {
    const partial = join(folder, 'partial', `${ref.digest}.${ref.bytes}`);
    await mkdir(partial, { recursive: true });
    for (const [i, content] of contents.entries()) await writeFile(join(partial, `${i}.${ref.pieces[i]}`), content);
  }

  it('joins the pieces that a process which died had all fetched', async () => {
    await leavePieces(...pieces);
    const store = createDiskBlobStore(folder);
    expect((await store.pieces(ref)).size).toBe(3);
    expect(Buffer.compare((await store.get(ref)) as Uint8Array, bytes)).toBe(0);
    expect(await readdir(join(folder, 'partial'))).toEqual([]);
  });

  it('takes damaged pieces for absent, so that they are fetched again', async () => {
    await leavePieces(pieces[0]!, new Uint8Array(0), pieces[2]!);
    const store = createDiskBlobStore(folder);
    expect((await store.pieces(ref)).size).toBe(0);
    await Promise.all(pieces.map((piece, index) => store.putPiece(ref, index, piece)));
    expect(Buffer.compare((await store.get(ref)) as Uint8Array, bytes)).toBe(0);
  });

  it('takes all pieces for absent where one cannot be read', async () => {
    await leavePieces(pieces[0]!);
    await mkdir(join(folder, 'partial', `${ref.digest}.${ref.bytes}`, `1.${ref.pieces[1]}`));
    const store = createDiskBlobStore(folder);
    await expect(store.putPiece(ref, 2, pieces[2]!)).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect((await store.pieces(ref)).size).toBe(0);
  });

  it('keeps no piece where the disk refuses it, and says so', async () => {
    await writeFile(join(folder, 'partial'), 'a file where a folder should be');
    const store = createDiskBlobStore(folder);
    await expect(store.putPiece(ref, 0, pieces[0] as Uint8Array<ArrayBuffer>)).rejects.toMatchObject({
      code: 'internal',
    });
  });
});
