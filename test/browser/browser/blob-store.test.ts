import { deleteDB, openDB } from 'idb';
import { afterEach, describe, expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { IdbBlobStore, openBlobStore, type BlobStoreOptions } from '../../../web/browser/blob-store.ts';
import { describeBlobStore, makeBlob } from '../../contract/blob-store-contract.ts';
import { codeOfAsync } from '../../support/code-of.ts';

const DATABASE = 'test-blobs';
let open: IdbBlobStore[] = [];

async function openStore(): Promise<IdbBlobStore> {
  const store = await openBlobStore({ name: DATABASE });
  open.push(store);
  return store;
}

async function closeAll(): Promise<void> {
  for (const store of open) store.close();
  open = [];
  await deleteDB(DATABASE);
}

describeBlobStore('IndexedDB', async () => ({
  store: await openStore(),
  reopen: openStore,
  release: closeAll,
}));

afterEach(closeAll);

type Database = ConstructorParameters<typeof IdbBlobStore>[0];

it('a full disk is told in words', async () => {
  const put = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
  const store = new IdbBlobStore({ put, close: () => undefined } as unknown as Database);
  const { ref, bytes } = makeBlob(10);
  const stored = store.putPiece(ref, 0, bytes);
  expect(await codeOfAsync(stored)).toBe('out-of-memory');
  await expect(stored).rejects.toThrow(/no more room for files: \d+ MB of \d+ MB/);
  store.close();
});

describe('where the browser’s room is used up', () => {
  const [first, second, third] = [makeBlob(10), makeBlob(20), makeBlob(30)];

  /** A store that has room for two pieces. */
  async function openSmallStore(options: Omit<BlobStoreOptions, 'name'> = {}): Promise<IdbBlobStore> {
    await openStore();
    const database = (await openDB(DATABASE)) as unknown as Database;
    const full = () => new DOMException('full', 'QuotaExceededError');
    const put = async (...[name, piece]: Parameters<Database['put']>) => {
      if ((await database.count(name)) >= 2) throw full();
      return database.put(name, piece);
    };
    const own = { put, name: DATABASE, getAll: database.getAll.bind(database), delete: database.delete.bind(database) };
    const store = new IdbBlobStore({ ...own, close: () => database.close() } as unknown as Database, options);
    open.push(store);
    return store;
  }

  /** Fills the store, as somebody did who has left since. */
  async function fill(): Promise<void> {
    const before = await openStore();
    for (const { ref, bytes } of [first, second]) await before.putPiece(ref, 0, bytes);
    before.close();
  }

  async function keptIn(store: IdbBlobStore): Promise<Digest[]> {
    return (await store.list()).map(({ digest }) => digest).sort();
  }

  const digests = (...blobs: (typeof first)[]) => blobs.map(({ ref }) => ref.digest).sort();

  it('what nobody needs makes way for what is needed now', async () => {
    await fill();
    const store = await openSmallStore({ neededLater: () => Promise.resolve(new Set([second.ref.digest])) });
    await store.putPiece(third.ref, 0, third.bytes);
    expect(await keptIn(store)).toEqual(digests(second, third));
  });

  it('what is used stays, in this tab and in others', async () => {
    await fill();
    const other = await openStore();
    await other.get(first.ref);
    const store = await openSmallStore({ neededLater: () => Promise.resolve(new Set()) });
    await store.pieces(second.ref);
    expect(await codeOfAsync(store.putPiece(third.ref, 0, third.bytes))).toBe('out-of-memory');
    expect(await keptIn(store)).toEqual(digests(first, second));
    other.close();
    await expect.poll(() => codeOfAsync(store.putPiece(third.ref, 0, third.bytes))).toBe('no error');
  });

  it('nothing makes way while it is not known what is needed later', async () => {
    await fill();
    const unknown = await openSmallStore({ neededLater: () => Promise.reject(new Error('no word')) });
    expect(await codeOfAsync(unknown.putPiece(third.ref, 0, third.bytes))).toBe('out-of-memory');
    const unasked = await openSmallStore();
    expect(await codeOfAsync(unasked.putPiece(third.ref, 0, third.bytes))).toBe('out-of-memory');
    expect(await keptIn(unknown)).toEqual(digests(first, second));
  });

  it('what nobody uses can be removed, and says how much that was', async () => {
    await fill();
    const store = await openStore();
    await store.pieces(first.ref);
    expect(await store.removeUnused()).toBe(20);
    expect(await keptIn(store)).toEqual(digests(first));
  });
});
