import type { SessionId } from '#shared/ids.ts';
import { openWasm } from '../../worker/backend.ts';
import { loadStage, readStageBlobs } from '../../worker/load-stage.ts';
import { Runtimes } from '../../worker/runtimes.ts';
import { engineDigests, halves, type EngineDigests } from './engine-digests.ts';
import { importWren } from './imported-wren.ts';
import { realClock } from './real-clock.ts';

/** The digests of this machine's engine, in this thread. */
export async function nodeEngineDigests(): Promise<EngineDigests> {
  const wren = await importWren();
  const backend = openWasm(new Runtimes(), 'digests');
  const session = '0'.repeat(32) as SessionId;
  const loaded = await Promise.all(
    halves.map(async (range) => {
      const request = { manifest: wren.manifest, range, blobs: wren.blobs(range), probe: false, maxSessions: 1 };
      const made = await loadStage(
        backend,
        request,
        await readStageBlobs(request, realClock),
        () => undefined,
        realClock,
      );
      await made.stage.open(session, 64);
      return made;
    }),
  );
  return engineDigests(
    loaded[0]!.numericClass,
    async (half, input) => (await loaded[half]!.stage.run({ session, input, logitsFrom: 0 })).output,
  );
}
