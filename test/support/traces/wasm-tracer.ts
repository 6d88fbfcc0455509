import { concatBytes } from '#shared/bytes.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { ServedStage } from '../../../worker/served-stage.ts';
import { loadRuntimeStage } from '../runtime-stage.ts';
import { traceSession, type TracedModel, type Tracer } from './tracer.ts';

/** Loads one stage on WASM in this thread. */
export async function loadWasmStage(model: TracedModel, range: StageRange, maxSessions = 1): Promise<ServedStage> {
  return loadRuntimeStage(model, range, maxSessions);
}

/** The WASM backend in this thread. */
export function createWasmTracer(): Tracer {
  return {
    numericClass: 'wasm',
    async trace(model, range, runs) {
      const stage = await loadWasmStage(model, range);
      try {
        const outputs: Uint8Array<ArrayBuffer>[] = [];
        for (const run of runs) outputs.push(concatBytes(...(await traceSession(stage, range, run))));
        return outputs;
      } finally {
        await stage.release();
      }
    },
    stop: () => Promise.resolve(),
  };
}
