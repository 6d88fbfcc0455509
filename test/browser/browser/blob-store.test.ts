import { deleteDB } from 'idb';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readBlobs } from '#shared/blobs/read-blobs.ts';
import { withBlobs } from '#shared/blobs/with-blobs.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { Digest } from '#shared/ids.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import {
  IdbBlobStore,
  openBlobDatabase,
  openBlobStore,
  type BlobStoreOptions,
} from '../../../web/browser/blob-store.ts';
import type { StorageFault } from '../../../web/browser/not-kept.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { StorageHealth } from '../../../web/browser/storage-health.ts';
import { describeBlobStore, makeBlob, pieceOf } from '../../contract/blob-store-contract.ts';
import { codeOfAsync } from '../../support/code-of.ts';

const DATABASE = 'test-blobs';
const clock = pageClock();
let open: { close(): void }[] = [];
let faults: StorageFault[] = [];
let damage: number[] = [];

function options(change: Partial<BlobStoreOptions> = {}): BlobStoreOptions {
  return {
    health: new StorageHealth(),
    onNotKept: (fault) => faults.push(fault),
    onDamaged: (pieces) => damage.push(pieces),
    clock,
    ...change,
  };
}

function openStore(): IdbBlobStore {
  const store = openBlobStore(options(), DATABASE);
  open.push(store);
  return store;
}

async function closeAll(): Promise<void> {
  vi.restoreAllMocks();
  for (const store of open) store.close();
  open = [];
  faults = [];
  damage = [];
  await deleteDB(DATABASE);
}

describeBlobStore('IndexedDB', () =>
  Promise.resolve({
    store: openStore(),
    reopen: () => Promise.resolve(openStore()),
    release: closeAll,
  }),
);

afterEach(closeAll);

const digestOfBlob = async (blob: Blob | null) => blob && digestOf(new Uint8Array(await blob.arrayBuffer()));

describe('where the browser’s room is used up', () => {
  const [first, second, third] = [makeBlob(10), makeBlob(20), makeBlob(30)];

  /** A store that has room for two pieces. */
  function openSmallStore(change: Partial<BlobStoreOptions> = {}): IdbBlobStore {
    const database = openBlobDatabase(options(), DATABASE);
    const count = () => database.run((opened) => opened.count('pieces'));
    const store = new IdbBlobStore(
      {
        name: DATABASE,
        run: async (work) => {
          const isFull = (await count()) >= 2;
          const full = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
          return database.run((opened) => {
            const own = { getAll: opened.getAll.bind(opened), delete: opened.delete.bind(opened) };
            return work({ ...own, put: isFull ? full : opened.put.bind(opened) } as unknown as typeof opened);
          });
        },
        close: () => database.close(),
      },
      options(change),
    );
    open.push(store);
    return store;
  }

  /** Fills the store, as somebody did who has left since. */
  async function fill(): Promise<void> {
    const before = openStore();
    for (const { ref, bytes } of [first, second]) await before.putPiece(ref, 0, bytes);
    before.close();
  }

  async function keptIn(store: IdbBlobStore): Promise<Digest[]> {
    return (await store.list()).map(({ digest }) => digest).sort();
  }

  const digests = (...blobs: (typeof first)[]) => blobs.map(({ ref }) => ref.digest).sort();

  it('what nobody needs makes way for what is needed now', async () => {
    await fill();
    const store = openSmallStore({ neededLater: () => Promise.resolve(new Set([second.ref.digest])) });
    await store.putPiece(third.ref, 0, third.bytes);
    expect(await keptIn(store)).toEqual(digests(second, third));
    expect(faults).toEqual([]);
  });

  it('what is used stays, in this tab and in others, and the rest is in memory', async () => {
    await fill();
    const other = openStore();
    await other.get(first.ref);
    const store = openSmallStore({ neededLater: () => Promise.resolve(new Set()) });
    await store.pieces(second.ref);
    await store.putPiece(third.ref, 0, third.bytes);
    expect(await keptIn(store)).toEqual(digests(first, second));
    expect(await digestOfBlob(await store.get(third.ref))).toBe(third.ref.digest);
    expect(faults).toEqual(['full']);
    other.close();
    await expect
      .poll(async () => (await store.putPiece(third.ref, 0, third.bytes), keptIn(store)))
      .toEqual(digests(second, third));
  });

  it('nothing makes way while it is not known what is needed later', async () => {
    await fill();
    const unknown = openSmallStore({ neededLater: () => Promise.reject(new Error('no word')) });
    await unknown.putPiece(third.ref, 0, third.bytes);
    const unasked = openSmallStore();
    await unasked.putPiece(third.ref, 0, third.bytes);
    expect(await keptIn(unknown)).toEqual(digests(first, second));
    expect(faults).toEqual(['full', 'full']);
  });

  it('what nobody uses can be removed, and says how much that was', async () => {
    await fill();
    const store = openStore();
    await store.pieces(first.ref);
    expect(await store.removeUnused()).toBe(20);
    expect(await keptIn(store)).toEqual(digests(first));
  });
});

it.each([null, undefined, 'bytes'])('a record whose bytes are %s is a piece that is not here', async (bytes) => {
  const { ref } = makeBlob(10);
  const store = openStore();
  const database = openBlobDatabase(options(), DATABASE);
  open.push(database);
  const piece = { blob: ref.digest, index: 0, digest: ref.pieces[0]!, totalBytes: ref.bytes, bytes: bytes as never };
  await database.run((opened) => opened.put('pieces', piece));
  expect([await store.get(ref), (await store.pieces(ref)).size]).toEqual([null, 0]);
  expect(await store.list()).toEqual([{ digest: ref.digest, storedBytes: 0, totalBytes: ref.bytes }]);
});

it('where the browser keeps nothing, blobs are in memory until the store is closed', async () => {
  const deny = () => {
    throw new DOMException('the browser’s own words', 'SecurityError');
  };
  vi.spyOn(IDBFactory.prototype, 'open').mockImplementation(deny);
  vi.spyOn(LockManager.prototype, 'request').mockImplementation(deny);
  const store = openStore();
  const { ref, bytes } = makeBlob(BLOB_PIECE_BYTES + 10);
  for (const index of [0, 1]) await store.putPiece(ref, index, pieceOf(ref, bytes, index));
  expect([...(await store.pieces(ref))]).toEqual([0, 1]);
  expect(await digestOfBlob(await store.get(ref))).toBe(ref.digest);
  expect(faults).toEqual(['denied', 'denied']);
  expect(await codeOfAsync(store.list())).toBe('unsupported');
  store.close();
  expect(await store.get(ref)).toBeNull();
});

describe('kept pieces that are damaged', () => {
  const { ref, bytes } = makeBlob(3 * BLOB_PIECE_BYTES);

  /** Writes other bytes under the right names, as a failing disk does. */
  async function spoil(index: number, size = BLOB_PIECE_BYTES): Promise<void> {
    const database = openBlobDatabase(options(), DATABASE);
    open.push(database);
    const digest = ref.pieces[index] as Digest;
    const wrong = new Blob([new Uint8Array(size)]);
    const piece = { blob: ref.digest, index, digest, totalBytes: ref.bytes, bytes: wrong };
    await database.run((opened) => opened.put('pieces', piece));
  }

  async function keepAll(): Promise<void> {
    const before = openStore();
    for (const index of ref.pieces.keys()) await before.putPiece(ref, index, pieceOf(ref, bytes, index));
    before.close();
  }

  /** Reads the blob as a volunteer does; the result is the pieces that were fetched. */
  async function load(store: IdbBlobStore): Promise<number[]> {
    const fetched: number[] = [];
    const fetchRange = (_: Digest, start: number, end: number) => {
      fetched.push(start / BLOB_PIECE_BYTES);
      return Promise.resolve(bytes.slice(start, end));
    };
    const deps = { store, fetchRange, clock, signal: new AbortController().signal };
    const read = await withBlobs([ref], deps, (blobs) => readBlobs([ref], blobs, clock));
    expect(digestOf(read.get(ref.digest)!)).toBe(ref.digest);
    return fetched;
  }

  it('are found as they are read, fetched anew alone, and told', async () => {
    await keepAll();
    await spoil(1);
    expect(await load(openStore())).toEqual([1]);
    expect(damage).toEqual([1]);
    expect(await load(openStore())).toEqual([]);
  });

  it('count as absent where they have another length', async () => {
    await keepAll();
    await spoil(2, 5);
    expect(await load(openStore())).toEqual([2]);
  });

  it('are held in memory where the disk cannot be read', async () => {
    await keepAll();
    const getAll = () => {
      throw new DOMException('the browser’s own words', 'UnknownError');
    };
    vi.spyOn(IDBObjectStore.prototype, 'getAll').mockImplementation(getAll);
    expect(await load(openStore())).toEqual([0, 1, 2]);
  });

  it('are held in memory where the disk loses what it is given', async () => {
    vi.spyOn(IDBObjectStore.prototype, 'getAll').mockImplementation(function (this: IDBObjectStore) {
      return this.getAllKeys(IDBKeyRange.only('nothing'));
    });
    expect(await load(openStore())).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('are held in memory where the disk spoils them again', async () => {
    await keepAll();
    await spoil(0);
    const store = openStore();
    const put = store.putPiece.bind(store);
    store.putPiece = async (...piece) => {
      await put(...piece);
      await spoil(0);
    };
    expect(await load(store)).toEqual([0]);
  });
});
