import { MemoryBlobStore } from '../support/memory-blob-store.ts';
import { describeBlobStore } from './blob-store-contract.ts';

describeBlobStore('memory', () => {
  const entries: ConstructorParameters<typeof MemoryBlobStore>[0] = new Map();
  return Promise.resolve({
    store: new MemoryBlobStore(entries),
    reopen: () => Promise.resolve(new MemoryBlobStore(entries)),
    release: () => Promise.resolve(),
  });
});
