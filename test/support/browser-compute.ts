import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { type Manifest, manifestSchema } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { WorkerCalls, WorkerReply } from '#shared/wire/worker-message.ts';

/** A compute thread that can be made to fail, as no page can make the real one. */
export interface FailingWorker {
  readonly port: WorkerPort;
  loseDevice(): void;
  crash(): void;
}

export function spawnFailingWorker(): FailingWorker {
  const worker = new Worker(new URL('./failing-worker.ts', import.meta.url), { type: 'module' });
  const port: WorkerPort = {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: () => undefined,
    onDeath: () => undefined,
    terminate: () => worker.terminate(),
  };
  worker.onmessage = (event: MessageEvent<WorkerReply>) => port.onMessage(event.data);
  worker.onerror = (event) => {
    event.preventDefault();
    port.onDeath(event.message);
  };
  return {
    port,
    loseDevice: () => worker.postMessage('lose the device'),
    crash: () => worker.postMessage('crash'),
  };
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
