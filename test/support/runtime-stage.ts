import type { Digest } from '#shared/ids.ts';
import { cutStage, stageGraph } from '#shared/model/cut.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { loadGraph } from '../../worker/loaded-graph.ts';
import { loadRuntime } from '../../worker/runtime.ts';
import { createServedStage, type ServedStage } from '../../worker/served-stage.ts';

/** One stage of a model on the inference runtime's WASM, in this thread. */
export async function loadRuntimeStage(
  { manifest, blob }: { readonly manifest: Manifest; readonly blob: (digest: Digest) => Uint8Array<ArrayBuffer> },
  range: StageRange,
  maxSessions = 1,
): Promise<ServedStage> {
  const cut = cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
  const backend = { runtime: await loadRuntime('wasm'), device: null };
  const loaded = await loadGraph(backend, stageGraph(cut, true), manifest.config);
  return createServedStage({ loaded, manifest, range, maxSessions });
}
