import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { type Manifest, manifestSchema } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { WorkerPort } from '#shared/peer/worker-client.ts';
import type { WorkerCalls } from '#shared/wire/worker-message.ts';

/** The page's compute thread, for tests that run in a page. */
export function spawnBrowserWorker(): WorkerPort {
  return asPort(new Worker(new URL('../../worker/main.ts', import.meta.url), { type: 'module' }));
}

/** The same program, with a device that can be lost on demand by posting `lose the device` to `worker`. */
export function spawnLosingWorker(): { port: WorkerPort; loseDevice: () => void } {
  const worker = new Worker(new URL('./losing-worker.ts', import.meta.url), { type: 'module' });
  return { port: asPort(worker), loseDevice: () => worker.postMessage('lose the device') };
}

function asPort(worker: Worker): WorkerPort {
  const port: WorkerPort = {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: () => undefined,
    onDeath: () => undefined,
    terminate: () => worker.terminate(),
  };
  worker.onmessage = (event) => port.onMessage(event.data);
  worker.onerror = (event) => port.onDeath(event.message);
  return port;
}

/** The manifest that a model server (model-server.ts) at `url` serves. */
export async function readManifest(url: string): Promise<Manifest> {
  return manifestSchema.parse(await (await fetch(`${url}/manifest.json`)).json());
}

/** A request to load `range`, with all blobs it needs read from `url`. */
export async function loadRequest(
  url: string,
  manifest: Manifest,
  range: StageRange,
): Promise<WorkerCalls['load']['request']> {
  const blobs = new Map<Digest, Blob>();
  for (const { digest } of stageBlobs(manifest, range)) {
    blobs.set(digest, await (await fetch(`${url}/blobs/${digest}`)).blob());
  }
  return { manifest, range, blobs, probe: true, maxSessions: 2 };
}
