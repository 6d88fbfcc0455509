import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import { STAND_IN_SLOTS, type StandInRunner } from '../hidden/stand-ins.ts';
import type { Companion, CompanionContext } from '../server.ts';
import { createDiskBlobStore } from './disk-blob-store.ts';
import { startVolunteer } from './volunteer-program.ts';

/** Volunteers in the server's process that stand in for anchors in hidden sessions, each with its own compute thread. */
export function startStandIns({ dataFolder, enlist, url }: CompanionContext): Companion & StandInRunner {
  const stopping = new AbortController();
  const running = new Set<Promise<unknown>>();
  const blobs = createDiskBlobStore(dataFolder.blobsPath);

  async function run(
    onKey: Parameters<StandInRunner['run']>[0],
    pledgeBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const identity = await identityOf(await generateKeyPair());
    signal.throwIfAborted();
    enlist(identity.id, 'stand-in');
    onKey(identity.id);
    const { ended } = await startVolunteer({
      ...{ serverUrl: new URL(url), identity, kind: 'anchor', blobs, signal },
      settings: { backend: 'wasm', pledgeBytes, slots: STAND_IN_SLOTS },
    });
    const failure = await ended;
    if (failure !== null) throw failure;
  }

  return {
    async run(onKey, pledgeBytes, signal) {
      const life = run(onKey, pledgeBytes, AbortSignal.any([signal, stopping.signal]));
      running.add(life);
      await life.finally(() => running.delete(life));
    },
    async stop() {
      stopping.abort();
      await Promise.allSettled(running);
    },
  };
}
