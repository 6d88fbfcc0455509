import { create } from '@bufbuild/protobuf';
import { TensorProtoSchema } from 'onnx-buf';
import { cutStage } from '#shared/model/cut.ts';
import { dequantize } from '#shared/model/dequantize.ts';
import type { MatrixSource, Plan, Step } from '#shared/model/engine/plan.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import { readMatrix, type ReadWeight } from '#shared/model/quantized-weights.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { ONNX_FLOAT32 } from '#shared/model/tensor-bytes.ts';
import { loadEngineGraph } from '../../../worker/engine/engine-graph.ts';
import { weightsInMemory } from '../../../worker/engine/weight-source.ts';
import { loadEngineModule } from '../../../worker/engine/engine-module.ts';
import type { TracedModel } from '../../support/traces/tracer.ts';

export interface PlannedStage {
  readonly plan: Plan;
  readonly read: ReadWeight;
}

/** A model whose stages the engine runs. */
export interface PlannedModel {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  plan(range: StageRange): PlannedStage;
}

/** A model that was imported. */
export function openImported({ manifest, blob }: TracedModel): PlannedModel {
  return {
    ...manifest.config,
    plan(range) {
      const cut = cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
      return { plan: planStage({ ...cut, ...manifest.config }), read: cut.read };
    },
  };
}

/** The same model with the numbers of its weights as floats, whose products the engine makes without rounding rows. */
export function withFloats(model: PlannedModel): PlannedModel {
  return {
    ...model,
    plan(range) {
      const { plan, read } = model.plan(range);
      const made = new Map<string, Uint8Array<ArrayBuffer>>();
      const dense = (source: MatrixSource): MatrixSource => {
        if (source.kind !== 'quantized') return source;
        const { weight } = source;
        const name = `floats of ${weight.quants.name}`;
        const values = dequantize(readMatrix(weight, read), false);
        made.set(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        const dims = [weight.rows, weight.columns].map(BigInt);
        return {
          kind: 'plain',
          tensor: create(TensorProtoSchema, { name, dataType: ONNX_FLOAT32, dims }),
          isTurned: false,
        };
      };
      const steps = plan.steps.map((step): Step => {
        if (step.type === 'gather') return { ...step, table: dense(step.table) };
        return step.type === 'product' ? { ...step, matrix: dense(step.matrix) } : step;
      });
      return { plan: { ...plan, steps }, read: (tensor) => made.get(tensor.name) ?? read(tensor) };
    },
  };
}

/** Rows of every position of a sequence of its own: tokens or hidden rows in, hidden rows or logits out. */
export type RunStage = (input: Uint32Array | Float32Array, count: number) => Promise<Float32Array>;

/** Loads a stage in the engine. */
export async function loadPlanned(
  { plan, read }: PlannedStage,
  { vocabularySize }: Pick<PlannedModel, 'vocabularySize'>,
): Promise<RunStage> {
  const graph = await loadEngineGraph({
    module: await loadEngineModule(),
    plan,
    weights: weightsInMemory(read),
    vocabularySize,
  });
  return async (input, count) => {
    const session = await graph.open(count);
    const wanted = plan.output.slot.isWanted ? Array.from({ length: count }, (_, i) => i) : [];
    const rows = await session.forward(0, count, input, wanted);
    session.release();
    return rows;
  };
}
