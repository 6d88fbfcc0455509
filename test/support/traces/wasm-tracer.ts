import { concatBytes } from '#shared/bytes.ts';
import { cutStage } from '#shared/model/cut.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { loadRuntime } from '../../../worker/runtime.ts';
import { createServedStage, type ServedStage } from '../../../worker/served-stage.ts';
import { traceSession, type TracedModel, type Tracer } from './tracer.ts';

/** Loads one stage on WASM in this thread. */
export async function loadWasmStage(model: TracedModel, range: StageRange, maxSessions = 1): Promise<ServedStage> {
  const { manifest, blob } = model;
  const backend = { runtime: await loadRuntime('wasm'), device: null };
  const graph = cutStage({ manifest, graph: blob(manifest.graph.digest), range, fold: true, blob });
  return createServedStage({ backend, manifest, range, graph, maxSessions });
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
