import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '#shared/backoff.ts';
import type { BlobStore } from '#shared/blobs/blob-store.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { type ChorusError, toChorusError } from '#shared/errors.ts';
import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import { openKeyFile } from '../machine/key-file.ts';
import type { Companion, CompanionContext } from '../server.ts';
import { createDiskBlobStore } from './disk-blob-store.ts';
import { startVolunteer } from './volunteer-program.ts';

const RESTART = { firstMs: 1_000, maxMs: 60_000 };
/** An anchor that worked this long starts again without delay when it fails. */
const STEADY_MS = 60_000;

export interface AnchorSettings {
  /** Memory that each anchor lends. */
  readonly pledgeBytes: number;
  /** Sessions that each runs at once. */
  readonly slots: number;
  /** How compute threads come to be; worker threads of Node if left out. */
  readonly spawnWorker?: () => WorkerPort;
}

type AnchorContext = CompanionContext & { readonly settings: AnchorSettings; readonly signal: AbortSignal };

/**
 * Starts the operator's own volunteers in the server's process, each with its own key and compute thread; one that fails is
 * started again. Rejects where a key cannot be used. Their `stop` ends them at once: running sessions fail over to others or end.
 */
export async function startAnchors(
  context: CompanionContext & { readonly count: number },
  settings: AnchorSettings,
): Promise<Companion> {
  const aborter = new AbortController();
  const blobs = createDiskBlobStore(context.dataFolder.blobsPath);
  const names = anchorNames(context.count);
  const anchorContext = { ...context, settings, signal: aborter.signal };
  const identities = await openAnchorKeys(context.dataFolder.path, context.count);
  const running = Promise.all(names.map((name, i) => keepRunning(name, identities[i]!, blobs, anchorContext)));
  return {
    async stop() {
      aborter.abort();
      await running;
    },
  };
}

/** The keys of so many anchors, made on first use. Throws `internal`, for the operator, where one cannot be used. */
export function openAnchorKeys(dataFolder: string, count: number): Promise<Identity[]> {
  return Promise.all(anchorNames(count).map((name) => openKeyFile(join(dataFolder, 'keys', `${name}.key`))));
}

const anchorNames = (count: number): string[] => Array.from({ length: count }, (_, i) => `anchor-${i + 1}`);

async function keepRunning(name: string, identity: Identity, blobs: BlobStore, context: AnchorContext): Promise<void> {
  const { log, signal } = context;
  let failures = 0;
  while (!signal.aborted) {
    const startedAtMs = performance.now();
    const failure = await runAnchor(name, identity, blobs, context).catch((error: unknown) => toChorusError(error));
    if (failure === null || signal.aborted) return;
    failures = performance.now() - startedAtMs > STEADY_MS ? 1 : failures + 1;
    const delayMs = backoffMs(failures, RESTART);
    log.warn({ anchor: name, code: failure.code, reason: failure.message, delayMs }, 'anchor starts again');
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }
}

/** One life of an anchor: resolves with what ended it. */
async function runAnchor(
  name: string,
  identity: Identity,
  blobs: BlobStore,
  context: AnchorContext,
): Promise<ChorusError | null> {
  const { enlist, log, settings, signal, url } = context;
  const { pledgeBytes, slots, spawnWorker } = settings;
  enlist(identity.id, 'anchor');
  const { volunteer, ended } = await startVolunteer({
    serverUrl: new URL(url),
    identity,
    kind: 'anchor',
    blobs,
    settings: { backend: 'wasm', pledgeBytes, slots },
    signal,
    ...(spawnWorker && { spawnWorker }),
  });
  let phase = '';
  volunteer.onChange(() => {
    const { state } = volunteer;
    if (state.phase === phase) return;
    phase = state.phase;
    log.info({ anchor: name, phase, message: state.message }, 'anchor');
  });
  return ended;
}
