import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobFile, BlobStore, StoredBlob } from '#shared/blobs/blob-store.ts';
import { checkPiece, pieceRange } from '#shared/blobs/piece.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { BlobRef } from '#shared/model/manifest.ts';

/**
 * Blobs as files:
 *
 *   FOLDER/<digest>                                         a whole blob
 *   FOLDER/partial/<digest>.<bytes>/<index>.<piece digest>  one piece of a blob of so many bytes that is not whole yet
 *
 * A file gets its name once it is complete, so that a process that dies leaves nothing half written under it. Several
 * processes may use one folder; a server's own blob folder will do.
 */
export function createDiskBlobStore(folder: string): BlobStore {
  const partialFolder = join(folder, 'partial');
  const wholePath = (digest: Digest) => join(folder, digest);
  const partialPath = (ref: BlobRef) => join(partialFolder, `${ref.digest}.${ref.bytes}`);
  const removeWhole = (digest: Digest) => rm(wholePath(digest), { recursive: true, force: true });
  /** Pieces of blobs on their way, so that a folder of many is not listed with each. */
  const arrived = new Map<Digest, Set<string>>();
  /** The pieces of which blobs were joined here: the same bytes are not those of a manifest that names others. */
  const joined = new Map<Digest, string>();
  /** Blobs that were dropped and have not come again: their files are not believed. */
  const dropped = new Set<Digest>();
  const pieceName = (ref: BlobRef, index: number) => `${index}.${ref.pieces[index]}`;

  /** Null also where the file is not what `ref` names; a file that is not even what its own name says is removed. */
  async function get(ref: BlobRef): Promise<Uint8Array<ArrayBuffer> | null> {
    if (ref.bytes === 0) return new Uint8Array(0);
    if (dropped.has(ref.digest)) return null;
    const file = await readIfSound(wholePath(ref.digest)).catch(nullIfAbsent);
    if (file === null) return null;
    const bytes = new Uint8Array(file.buffer, file.byteOffset, file.length);
    const areRight = ref.pieces.map(async (_, index) => {
      const { start, end } = pieceRange(ref, index);
      await checkPiece(ref, index, bytes.subarray(start, end));
    });
    const isRight = await Promise.all(areRight).then(
      () => bytes.length === ref.bytes,
      () => false,
    );
    if (isRight) return bytes;
    // Disks rot and people edit files.
    if (createHash('sha256').update(bytes).digest('hex') !== ref.digest) await removeWhole(ref.digest);
    return null;
  }

  /** Null where the folder has no such file, and where this store knows the blob to be made of other pieces. What the file holds is known once it is read. */
  async function locate(ref: BlobRef): Promise<BlobFile | Uint8Array<ArrayBuffer> | null> {
    if (ref.bytes === 0) return new Uint8Array(0);
    if (dropped.has(ref.digest)) return null;
    const known = joined.get(ref.digest);
    if (known !== undefined && known !== ref.pieces.join()) return null;
    const found = await stat(wholePath(ref.digest)).catch(nullIfAbsent);
    return found?.isFile() === true && found.size === ref.bytes ? { path: wholePath(ref.digest) } : null;
  }

  async function pieces(ref: BlobRef): Promise<ReadonlySet<number>> {
    const all = new Set(ref.pieces.keys());
    if ((await locate(ref)) !== null) return all;
    const names = await namedPieces(ref);
    const here = new Set([...all].filter((index) => names.has(pieceName(ref, index))));
    if (here.size < all.size) return here;
    // The process that put the last piece died before it could join them.
    try {
      await joinPieces(ref);
      return all;
    } catch (error) {
      if (error instanceof ChorusError) return new Set();
      throw error;
    }
  }

  /** Names of the files of pieces of a blob. */
  async function namedPieces(ref: BlobRef): Promise<Set<string>> {
    const names = new Set(ref.pieces.map((_, index) => pieceName(ref, index)));
    return new Set((await namesIn(partialPath(ref))).filter((name) => names.has(name)));
  }

  async function putPiece(ref: BlobRef, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await checkPiece(ref, index, bytes);
    const file = pieceName(ref, index);
    await writeWhole(partialPath(ref), file, (draft) => writeFile(draft, bytes, { flag: 'wx' }));
    const here = arrived.get(ref.digest) ?? (await namedPieces(ref));
    arrived.set(ref.digest, here);
    here.add(file);
    if (here.size < ref.pieces.length) return;
    arrived.delete(ref.digest);
    if ((await namedPieces(ref)).size === ref.pieces.length) await joinPieces(ref);
  }

  /**
   * Rejects with `digest-mismatch` where a piece is not as long as it should be; all of them are removed then, to be fetched
   * again. Each was hashed when it came, and is again by whoever reads the blob.
   */
  async function joinPieces(ref: BlobRef): Promise<void> {
    try {
      await writeWhole(folder, ref.digest, async (draft) => {
        const file = await open(draft, 'wx');
        try {
          for (const index of ref.pieces.keys()) {
            const piece = await readIfSound(join(partialPath(ref), pieceName(ref, index)));
            const { start, end } = pieceRange(ref, index);
            if (piece.length !== end - start) throw damagedPiece(ref);
            await file.writeFile(piece);
          }
          await file.sync();
        } finally {
          await file.close();
        }
      });
    } catch (error) {
      if (error instanceof ChorusError) await rm(partialPath(ref), { recursive: true, force: true });
      // Another process that put a last piece at the same time may have joined them and cleared them away.
      if (!isAbsence(error) || (await fileBytes(wholePath(ref.digest))) !== ref.bytes) throw error;
    }
    dropped.delete(ref.digest);
    joined.set(ref.digest, ref.pieces.join());
    await rm(partialPath(ref), { recursive: true, force: true });
  }

  async function list(): Promise<StoredBlob[]> {
    const stored: StoredBlob[] = [];
    for (const name of await namesIn(folder)) {
      if (!isDigest(name)) continue;
      const bytes = (await fileBytes(wholePath(name))) ?? 0;
      stored.push({ digest: name, storedBytes: bytes, totalBytes: bytes });
    }
    for (const name of await namesIn(partialFolder)) {
      const [digest = '', totalBytes] = name.split('.');
      if (!isDigest(digest)) continue;
      const files = (await namesIn(join(partialFolder, name))).filter((file) => !file.startsWith('.'));
      const sizes = await Promise.all(files.map((file) => fileBytes(join(partialFolder, name, file))));
      const storedBytes = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
      stored.push({ digest, storedBytes, totalBytes: Number(totalBytes) });
    }
    return stored;
  }

  /** A file that is what its name says stays, whatever pieces a manifest names. */
  async function drop(digest: Digest): Promise<void> {
    dropped.add(digest);
    const bytes = await readIfSound(wholePath(digest)).catch(nullIfAbsent);
    if (bytes === null || createHash('sha256').update(bytes).digest('hex') !== digest) await remove(digest);
  }

  async function remove(digest: Digest): Promise<void> {
    arrived.delete(digest);
    await removeWhole(digest);
    for (const name of await namesIn(partialFolder)) {
      if (name.startsWith(`${digest}.`)) await rm(join(partialFolder, name), { recursive: true, force: true });
    }
  }

  return {
    get: (ref) => get(ref).catch(fail),
    locate: (ref) => locate(ref).catch(fail),
    pieces: (ref) => pieces(ref).catch(fail),
    putPiece: (ref, index, bytes) => putPiece(ref, index, bytes).catch(fail),
    list: () => list().catch(fail),
    delete: (digest) => remove(digest).catch(fail),
    // One file holds all pieces of a blob.
    dropPieces: ({ digest }) => drop(digest).catch(fail),
  };
}

/** Lets `write` make a file under a passing name and then gives it its own. */
async function writeWhole(folder: string, name: string, write: (draft: string) => Promise<void>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const draft = join(folder, `.${randomUUID()}`);
  try {
    await write(draft);
    await rename(draft, join(folder, name));
  } finally {
    await rm(draft, { force: true });
  }
}

function damagedPiece({ digest }: BlobRef): ChorusError {
  return new ChorusError('digest-mismatch', `the pieces of blob ${digest} do not make it up`);
}

/** The bytes of a file; none where the disk has it but cannot read it, which then counts as damaged. */
async function readIfSound(path: string): Promise<Buffer<ArrayBuffer>> {
  try {
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, 'EIO') || hasCode(error, 'EISDIR')) return Buffer.alloc(0);
    throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(nullIfAbsent)) ?? [];
}

async function fileBytes(path: string): Promise<number | null> {
  return (await stat(path).catch(nullIfAbsent))?.size ?? null;
}

function nullIfAbsent(error: unknown): null {
  if (isAbsence(error)) return null;
  throw error;
}

function isAbsence(error: unknown): boolean {
  return hasCode(error, 'ENOENT');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function isDigest(name: string): name is Digest {
  return /^[0-9a-f]{64}$/.test(name);
}

function fail(thrown: unknown): never {
  if (thrown instanceof ChorusError) throw thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    throw new ChorusError('out-of-memory', 'the disk has no room for more blobs');
  throw new ChorusError('internal', `the blob folder cannot be used: ${message}`);
}
