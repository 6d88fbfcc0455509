import type { Digest } from '#shared/ids.ts';
import { cutStage } from '#shared/model/cut.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { loadEngineGraph } from '../../worker/engine/engine-graph.ts';
import { weightsInMemory } from '../../worker/engine/weight-source.ts';
import { loadEngineModule } from '../../worker/engine/engine-module.ts';
import { createServedStage, type ServedStage } from '../../worker/served-stage.ts';

/** One stage of a model in the engine, in this thread. */
export async function loadEngineStage(
  { manifest, blob }: { readonly manifest: Manifest; readonly blob: (digest: Digest) => Uint8Array<ArrayBuffer> },
  range: StageRange,
  maxSessions = 1,
): Promise<ServedStage> {
  const { hiddenSize, vocabularySize } = manifest.config;
  const { model, io, read } = cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
  const plan = planStage({ model, io, hiddenSize, vocabularySize });
  const loaded = await loadEngineGraph({
    module: await loadEngineModule(),
    plan,
    weights: weightsInMemory(read),
    vocabularySize,
  });
  return createServedStage({ loaded, manifest, range, maxSessions });
}
