import { deleteDB } from 'idb';
import { afterEach, expect, it } from 'vitest';
import { IdbBlobStore, openBlobStore } from '../../web/blob-store.ts';
import { describeBlobStore, makeBlob } from '../contract/blob-store-contract.ts';
import { codeOfAsync } from '../support/code-of.ts';

const DATABASE = 'test-blobs';
let open: IdbBlobStore[] = [];

async function openStore(): Promise<IdbBlobStore> {
  const store = await openBlobStore(DATABASE);
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

it('a full disk is told in words', async () => {
  const full = { put: () => Promise.reject(new DOMException('full', 'QuotaExceededError')) };
  const store = new IdbBlobStore(full as unknown as ConstructorParameters<typeof IdbBlobStore>[0]);
  const { ref, bytes } = makeBlob(10);
  const stored = store.putPiece(ref, 0, bytes);
  expect(await codeOfAsync(stored)).toBe('out-of-memory');
  await expect(stored).rejects.toThrow(/no more room: \d+ MB of \d+ MB/);
});
