import { readAnatomy } from '#shared/model/anatomy.ts';
import type { CutStage } from '#shared/model/cut.ts';
import { decodeModel, encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import { cutStageGraph } from '#shared/model/stage-graph.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { GraphSizes } from '../../worker/loaded-graph.ts';
import { buildSyntheticModel, type SyntheticShape } from './synthetic-models.ts';

/** A model with its weights inside, ready to be cut any number of times. */
export interface SyntheticStages {
  readonly sizes: GraphSizes & { readonly layers: number };
  cut(range: StageRange): CutStage;
}

/** Builds a model of the shape, lets `change` spoil it, and cuts it as it is, without an import. */
export function syntheticStages(
  shape: SyntheticShape,
  change: (model: OnnxModel) => void = () => undefined,
): SyntheticStages {
  const model = buildSyntheticModel(shape);
  change(model);
  const bytes = encodeModel(model);
  const { hidden: hiddenSize, vocabulary: vocabularySize, layers, kvHeads, headSize } = shape;
  return {
    sizes: { hiddenSize, vocabularySize, layers, kvHeads, headSize },
    cut: (range) => ({
      ...cutStageGraph(readAnatomy(decodeModel(bytes)), range),
      read: (tensor) => tensor.rawData,
      place: (tensor) => tensor.rawData,
      blobs: new Map(),
    }),
  };
}

export function wholeOf(layers: number): StageRange {
  return { start: 0, end: layers, embedding: true, head: true };
}
