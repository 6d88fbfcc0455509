import { concatBytes } from '#shared/bytes.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { cutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/plan-stage.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { loadEngineGraph } from '../../../worker/engine/engine-graph.ts';
import { loadEngineModule } from '../../../worker/engine/engine-module.ts';
import { createServedStage, type ServedStage } from '../../../worker/served-stage.ts';
import { traceSession, type TracedModel, type Tracer } from './tracer.ts';

/** Loads one stage in the engine in this thread. Throws NotPlanned for graphs that it has no steps for. */
export async function loadEngineStage(
  { manifest, blob }: TracedModel,
  range: StageRange,
  maxSessions = 1,
): Promise<ServedStage> {
  const { hiddenSize, vocabularySize } = manifest.config;
  const cut = cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
  const plan = planStage({ ...cut, hiddenSize });
  const loaded = await loadEngineGraph({ module: await loadEngineModule(), plan, read: cut.read, vocabularySize });
  return createServedStage({ loaded, manifest, range, maxSessions });
}

/** The engine in this thread. */
export function createEngineTracer(): Tracer {
  return {
    numericClass: ENGINE_CLASS,
    async trace(model, range, runs) {
      const stage = await loadEngineStage(model, range);
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
