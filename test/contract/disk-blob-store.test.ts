import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDiskBlobStore } from '../../signal-server/node-peer/disk-blob-store.ts';
import { describeBlobStore } from './blob-store-contract.ts';

describeBlobStore('a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-blobs-'));
  return {
    store: createDiskBlobStore(folder),
    reopen: () => Promise.resolve(createDiskBlobStore(folder)),
    release: () => rm(folder, { recursive: true, force: true }),
  };
});
