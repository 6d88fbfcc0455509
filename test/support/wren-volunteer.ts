import { join } from 'node:path';
import type { Identity } from '#shared/crypto/identity.ts';
import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { RunResult } from '#shared/rows/compute.ts';
import type { WorkerReply } from '#shared/wire/worker-message.ts';
import { createDiskBlobStore } from '../../signal-server/node-peer/disk-blob-store.ts';
import { startVolunteer, type NodeVolunteer } from '../../signal-server/node-peer/volunteer-program.ts';
import { spawnWorkerThread } from '../../signal-server/node-peer/worker-thread.ts';
import { newIdentity } from './control-peer.ts';
import { importWren } from './imported-wren.ts';

/** What lies between a volunteer and its compute thread. */
export interface Interference {
  /** Changes the result of a run. */
  readonly result?: (result: RunResult) => RunResult;
  /** Takes the place of the class that the stage computes in. */
  readonly numericClass?: string;
  /** How long each run takes longer. */
  readonly delayMs?: number;
}

export type WrenVolunteer = NodeVolunteer & { readonly identity: Identity; leave(): Promise<void> };

/** A volunteer as `chorus volunteer` runs it, with the default model's blobs at hand. */
export async function startWrenVolunteer(url: string, interference: Interference = {}): Promise<WrenVolunteer> {
  const wren = await importWren();
  const identity = await newIdentity();
  const aborter = new AbortController();
  const program = await startVolunteer({
    serverUrl: new URL(url),
    identity,
    kind: 'cli',
    blobs: createDiskBlobStore(join(wren.dataFolder, 'blobs')),
    settings: { backend: 'wasm', pledgeBytes: 2 ** 30, slots: 4 },
    spawnWorker: () => interferingPort(interference),
    signal: aborter.signal,
  });
  return {
    ...program,
    identity,
    async leave() {
      aborter.abort();
      await program.ended;
    },
  };
}

function interferingPort({ result, numericClass, delayMs }: Interference): WorkerPort {
  const inner = spawnWorkerThread();
  const port: WorkerPort = {
    post: (message, transfer) => inner.post(message, transfer),
    onMessage: () => {},
    onDeath: () => {},
    terminate: () => inner.terminate(),
  };
  const changed = (message: WorkerReply): WorkerReply => {
    if (message.type !== 'reply' || message.body === null) return message;
    const { body } = message;
    if ('output' in body && result) return { ...message, body: result(body) };
    if ('numericClass' in body && numericClass) return { ...message, body: { ...body, numericClass } };
    return message;
  };
  inner.onMessage = (message) => {
    const isRun = message.type === 'reply' && message.body !== null && 'output' in message.body;
    if (!isRun || delayMs === undefined) return port.onMessage(changed(message));
    setTimeout(() => port.onMessage(changed(message)), delayMs);
  };
  inner.onDeath = (reason) => port.onDeath(reason);
  return port;
}

/** Rows that nobody computed so: hidden ones turn their sign, and of the logits the second best changes places with the best. */
export function lieOf({ output, ...rest }: RunResult): RunResult {
  const { kind, count } = output;
  const bytes = output.bytes.slice();
  const view = new DataView(bytes.buffer);
  if (kind === 'hidden') for (let at = 1; at < bytes.length; at += 2) view.setUint8(at, view.getUint8(at) ^ 0x80);
  if (kind === 'logits') {
    for (let row = 0; row < count; row++) {
      const firstId = row * (bytes.length / count) + 4;
      const first = view.getUint32(firstId, true);
      view.setUint32(firstId, view.getUint32(firstId + 8, true), true);
      view.setUint32(firstId + 8, first, true);
    }
  }
  return { ...rest, output: { ...output, bytes } };
}
