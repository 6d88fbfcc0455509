/** Loads one stage as a volunteer's program does and prints what it took. Started by main.ts. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fromBase64 } from '#shared/bytes.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import { withStageBlobs } from '#shared/peer/volunteer/fetch-stage.ts';
import { createWorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import { createDiskBlobStore } from '../../../signal-server/node-peer/disk-blob-store.ts';
import { serverApiAt } from '../../../signal-server/node-peer/server-api.ts';
import { spawnWorkerThread } from '../../../signal-server/node-peer/worker-thread.ts';
import { spanOf } from '../../../signal-server/placement/stage-grid.ts';
import { stageMemoryBytes } from '../../../signal-server/placement/stage-memory.ts';
import { realClock } from '../../support/real-clock.ts';

export interface LoadingOrder {
  /** File of the signed manifest. */
  readonly manifest: string;
  /** Folder for what is downloaded. */
  readonly blobs: string;
  readonly url: string;
  /** START-END; nothing for all layers' end, where the head alone is. */
  readonly range: string;
  readonly embedding: boolean;
  readonly head: boolean;
  readonly slots: number;
}

export interface Loading {
  readonly fetchMs: number;
  readonly readyMs: number;
  readonly longestPauseMs: number;
  readonly blobBytes: number;
  /** Resident bytes of the process. */
  readonly before: number;
  readonly peak: number;
  readonly after: number;
  /** As the thread says, and as placement charges for it. */
  readonly memoryBytes: number;
  readonly chargeBytes: number;
}

/** Resident bytes of this process: now, or at most so far. */
function residentBytes(which: 'VmRSS' | 'VmHWM'): number {
  return 1024 * Number(new RegExp(`${which}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

const never = new AbortController().signal;
const order = JSON.parse(process.argv[2]!) as LoadingOrder;
const { payload } = JSON.parse(await readFile(order.manifest, 'utf8')) as { payload: string };
const manifest = manifestSchema.parse(JSON.parse(new TextDecoder().decode(fromBase64(payload))));
const { layers } = manifest.config;
const [start = layers, end = layers] = order.range === '' ? [] : order.range.split('-').map(Number);
const range = { start, end, embedding: order.embedding, head: order.head };

const store = createDiskBlobStore(order.blobs);
const api = serverApiAt(new URL(order.url));
const worker = createWorkerClient({ spawn: spawnWorkerThread, clock: realClock });
await worker.start({ backend: 'wasm', keepSubgroups: false });
globalThis.gc?.();
const before = residentBytes('VmRSS');

let longestPauseMs = 0;
let lastMs = performance.now();
setInterval(() => {
  const nowMs = performance.now();
  longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs);
  lastMs = nowMs;
}, 5).unref();

const startedMs = performance.now();
let fetchMs = 0;
const source = {
  ...{ blobs: store, clock: realClock, fetchManifest: () => Promise.reject(new Error('it is here')) },
  fetchRange: (...piece: Parameters<typeof api.fetchRange>) => api.fetchRange(...piece),
};
const stage = await withStageBlobs(manifest, range, source, { signal: never }, (blobs) => {
  fetchMs = performance.now() - startedMs;
  return worker.load({ manifest, range, blobs, probe: true, maxSessions: order.slots }, never);
});
const readyMs = performance.now() - startedMs;
const peak = residentBytes('VmHWM');
// What the collector has not come to yet is no need.
globalThis.gc?.();
const loading: Loading = {
  ...{ fetchMs, readyMs, longestPauseMs, before, peak, after: residentBytes('VmRSS') },
  blobBytes: stageBlobs(manifest, range).reduce((sum, { bytes }) => sum + bytes, 0),
  memoryBytes: stage.memoryBytes,
  chargeBytes: stageMemoryBytes(manifest, spanOf(range), 'wasm', order.slots, true),
};
process.stdout.write(JSON.stringify(loading));
process.exit(0);
