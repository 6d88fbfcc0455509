import { readAnatomy } from '#shared/model/anatomy.ts';
import type { CutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import { ONNX_FLOAT32 } from '#shared/model/tensor-bytes.ts';
import { cutStageGraph } from '#shared/model/stage-graph.ts';
import { normalizeGraph } from '../../signal-server/import/normalize-graph.ts';
import type { OpenedModel } from '../../signal-server/import/open-model.ts';
import { loadEngineGraph } from '../../worker/engine/engine-graph.ts';
import { loadEngineModule } from '../../worker/engine/engine-module.ts';
import { weightsInMemory } from '../../worker/engine/weight-source.ts';
import type { LoadedGraph } from '../../worker/loaded-graph.ts';

/** A model's files as one stage, without an import: its graph is cut anew by each call of `cut`. */
export function wholeStage(
  { folder, file }: OpenedModel,
  positions: number,
): { cut: () => CutStage; sizes: WholeSizes } {
  const { model, read } = normalizeGraph(file.model, file.read, positions, []);
  const range = { start: 0, end: folder.config.num_hidden_layers, embedding: true, head: true };
  const heads = folder.config.num_attention_heads;
  const cut = (): CutStage => {
    const stage = cutStageGraph(readAnatomy(model), range);
    // Folding leaves floats where they are, and there is no file that a runtime could find them in.
    for (const tensor of stage.model.graph.initializer) {
      if (tensor.dataType === ONNX_FLOAT32)
        Object.assign(tensor, { rawData: read(tensor), externalData: [], dataLocation: 0 });
    }
    return { ...stage, read, place: read, blobs: new Map() };
  };
  return {
    cut,
    sizes: {
      hiddenSize: folder.config.hidden_size,
      vocabularySize: folder.config.vocab_size,
      kvHeads: folder.config.num_key_value_heads ?? heads,
      headSize: folder.config.head_dim ?? folder.config.hidden_size / heads,
    },
  };
}

export interface WholeSizes {
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** A model's files, whole, in the engine. */
export async function engineOf(opened: OpenedModel, positions: number): Promise<LoadedGraph> {
  const { cut, sizes } = wholeStage(opened, positions);
  const stage = cut();
  return loadEngineGraph({
    module: await loadEngineModule(),
    plan: planStage({ ...stage, ...sizes }),
    weights: weightsInMemory(stage.read),
    vocabularySize: sizes.vocabularySize,
  });
}

/** The likeliest tokens one after the other, as many as `count`. */
export async function greedyTokens(graph: LoadedGraph, prompt: readonly number[], count: number): Promise<number[]> {
  const session = await graph.open(prompt.length + count);
  const tokens: number[] = [];
  let logits = await session.forward(0, prompt.length, Uint32Array.from(prompt), [prompt.length - 1]);
  while (tokens.length < count) {
    const best = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
    tokens.push(best);
    logits = await session.forward(prompt.length + tokens.length - 1, 1, Uint32Array.of(best), [0]);
  }
  session.release();
  return tokens;
}
