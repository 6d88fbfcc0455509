import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import { createDiskBlobStore } from '../../signal-server/node-peer/disk-blob-store.ts';
import { startVolunteer } from '../../signal-server/node-peer/volunteer-program.ts';
import { spawnWorkerThread } from '../../signal-server/node-peer/worker-thread.ts';

/**
 * A volunteer in a process of its own, run by `fork` with the server's URL and a folder of blobs: sends its peer id, and ends
 * when its parent lets go. A message is how many milliseconds each run sleeps from then on, or that
 * it sleeps for ever; it is echoed once it holds.
 */
const [url, blobs] = process.argv.slice(2);
let sleepMs = 0;

/** Runs reach the compute thread late. */
function spawnWorker(): WorkerPort {
  const port = spawnWorkerThread();
  const post = port.post.bind(port);
  port.post = (message, transfer) => {
    if (message.call !== 'run' || sleepMs === 0) return post(message, transfer);
    if (sleepMs !== Infinity) setTimeout(() => post(message, transfer), sleepMs);
  };
  return port;
}

const identity = await identityOf(await generateKeyPair());
const aborter = new AbortController();
const { ended } = await startVolunteer({
  serverUrl: new URL(url!),
  identity,
  kind: 'cli',
  blobs: createDiskBlobStore(blobs!),
  settings: { backend: 'wasm', pledgeBytes: 2 ** 30, slots: 4 },
  spawnWorker,
  signal: aborter.signal,
});
process.on('message', (message: number | 'for ever') => {
  sleepMs = message === 'for ever' ? Infinity : message;
  process.send?.(message);
});
process.once('disconnect', () => aborter.abort());
void ended.then(() => process.exit());
process.send?.(identity.id);
