import { create } from '@bufbuild/protobuf';
import { ValueInfoProtoSchema, type TensorProto } from 'onnx-buf';
import { readAnatomy } from '#shared/model/anatomy.ts';
import type { StageGraph } from '#shared/model/cut.ts';
import { decodeF16 } from '#shared/model/f16.ts';
import { foldModel, type ProductForm } from '#shared/model/fold.ts';
import { decodeModel, encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import {
  loadGraph,
  type Backend,
  type GraphSizes,
  type GraphSession,
  type LoadedGraph,
} from '../../worker/loaded-graph.ts';
import type { Runtime, Tensor } from '../../worker/runtime.ts';

/** The results of a model for some tokens: the rows that go into each boundary (null where not seen), and all logits. */
export interface Outcome {
  readonly boundaries: readonly (Float32Array | null)[];
  readonly logits: Float32Array;
}

export interface RunnableModel {
  /** Runs `tokens` after those before them. */
  forward(tokens: readonly number[]): Promise<Outcome>;
  reset(): void;
  release(): Promise<void>;
}

/**
 * A model's published graph, whole, with its residual stream made visible: nothing but outputs is added to it, so it
 * is independent of cutting. With `form` its weights are converted to fp32 first.
 */
export async function loadUncut(
  runtime: Runtime,
  model: OnnxModel,
  read: (tensor: TensorProto) => Uint8Array,
  form: ProductForm | null,
  sizes: GraphSizes,
): Promise<RunnableModel> {
  // Taken apart in a copy, for reading the anatomy rewires positions.
  const { boundaries, layers, index } = readAnatomy(decodeModel(encodeModel(model)));
  const files = form === null ? [] : foldModel(model, read, form);
  for (const tensor of model.graph.initializer) {
    if (tensor.rawData.length > 0 || files.some((file) => file.path === locationOf(tensor))) continue;
    Object.assign(tensor, { rawData: new Uint8Array(read(tensor)), externalData: [], dataLocation: 0 });
  }
  const seen = boundaries.map(({ sum, norm }) => {
    const node = model.graph.node.find((candidate) => candidate.name === norm.name)!;
    if (sum === null) node.output = [node.output[0]!, '', '', `${node.output[0]}/sum`];
    return sum ?? node.output[3]!;
  });
  for (const name of seen) model.graph.output.push(create(ValueInfoProtoSchema, { name }));
  const session = await runtime.InferenceSession.create(encodeModel(model), { externalData: files });
  const kvType =
    form !== null
      ? 'float32'
      : (index.inputs.get(layers[0]!.pastKey)?.type?.value.value as { elemType: number }).elemType === 10
        ? 'float16'
        : 'float32';
  const empty = () =>
    new runtime.Tensor(kvType, kvType === 'float16' ? new Uint16Array() : new Float32Array(), [
      1,
      sizes.kvHeads,
      0,
      sizes.headSize,
    ]);
  let past: Record<string, Tensor> = {};
  let length = 0;
  const reset = () => {
    past = Object.fromEntries(
      layers.flatMap((layer) => [
        [layer.pastKey, empty()],
        [layer.pastValue, empty()],
      ]),
    );
    length = 0;
  };
  reset();
  return {
    reset,
    async forward(tokens) {
      const int64 = (values: readonly number[]) =>
        new runtime.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
      const total = length + tokens.length;
      const feeds: Record<string, Tensor> = {
        ...past,
        input_ids: int64(tokens),
        attention_mask: int64(Array<number>(total).fill(1)),
      };
      if (index.inputs.has('position_ids')) feeds.position_ids = int64(tokens.map((_, i) => length + i));
      const outputs = await session.run(feeds);
      past = Object.fromEntries(
        layers.flatMap((l) => [
          [l.pastKey, outputs[l.presentKey]!],
          [l.pastValue, outputs[l.presentValue]!],
        ]),
      );
      length = total;
      return { boundaries: seen.map((name) => floats(outputs[name]!)), logits: floats(outputs.logits!) };
    },
    release: () => session.release(),
  };
}

/** The same from stages that hand on all rows in f32. */
export async function loadStages(
  backend: Backend,
  stages: readonly StageGraph[],
  starts: readonly number[],
  boundaries: number,
  sizes: GraphSizes,
): Promise<RunnableModel> {
  const loaded: LoadedGraph[] = [];
  for (const stage of stages) loaded.push(await loadGraph(backend, stage, sizes));
  let sessions: Promise<GraphSession>[] = [];
  let length = 0;
  const reset = () => {
    sessions = loaded.map((graph) => graph.open(512));
    length = 0;
  };
  reset();
  return {
    reset,
    async forward(tokens) {
      let rows: Uint32Array | Float32Array = Uint32Array.from(tokens);
      const seen = Array<Float32Array | null>(boundaries).fill(null);
      for (const [i, session] of sessions.entries()) {
        if (rows instanceof Float32Array) seen[starts[i]!] = rows.slice();
        rows = (
          await (
            await session
          ).forward(
            length,
            tokens.length,
            rows,
            tokens.map((_, at) => at),
          )
        ).slice();
      }
      length += tokens.length;
      return { boundaries: seen, logits: rows as Float32Array };
    },
    async release() {
      for (const graph of loaded) await graph.release();
    },
  };
}

/** `count` tokens, each the likeliest after all before it. */
export async function greedyTokens(model: RunnableModel, prompt: readonly number[], count: number): Promise<number[]> {
  model.reset();
  const tokens: number[] = [];
  for (let next = prompt; tokens.length < count; next = tokens.slice(-1)) {
    const { logits } = await model.forward(next);
    const last = logits.subarray(logits.length - logits.length / next.length);
    tokens.push(last.indexOf(last.reduce((best, value) => Math.max(best, value), -Infinity)));
  }
  return tokens;
}

function floats(tensor: Tensor): Float32Array {
  if (tensor.type !== 'float16') return (tensor.data as Float32Array).slice();
  const data = tensor.data as unknown as { buffer: ArrayBuffer; byteOffset: number; byteLength: number };
  return decodeF16(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function locationOf(tensor: TensorProto): string | undefined {
  return tensor.externalData.find((entry) => entry.key === 'location')?.value;
}
