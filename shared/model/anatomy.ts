import type { NodeProto, ValueInfoProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import { MAX_LAYERS } from '../limits.ts';
import { isGgufNode } from './gguf-weight.ts';
import { indexGraph, type GraphIndex } from './graph-index.ts';
import { intAttribute } from './node-attributes.ts';
import type { OnnxModel } from './onnx-file.ts';
import { describeNode } from './operators.ts';
import { ONNX_FLOAT16, ONNX_FLOAT32, ONNX_INT64, tensorDims } from './tensor-bytes.ts';

/** Where the residual stream goes into a layer or into the head: the sum of one or two values, normalized by `norm`. */
export interface Boundary {
  readonly norm: NodeProto;
  /** Name of the norm's scale. */
  readonly weight: string;
  readonly addends: readonly [string] | readonly [string, string];
  /** The value that holds the sum, if the graph names it. */
  readonly sum: string | null;
}

export interface LayerAnatomy {
  readonly attention: NodeProto;
  readonly pastKey: string;
  readonly pastValue: string;
  readonly presentKey: string;
  readonly presentValue: string;
}

export type FloatType = 'float32' | 'float16';

/** A decoder graph of the onnxruntime-genai model builder's family, taken apart. */
export interface Anatomy {
  readonly index: GraphIndex;
  readonly layers: readonly LayerAnatomy[];
  /** boundaries[b] leads into layer b; the last one into the head. */
  readonly boundaries: readonly Boundary[];
  readonly activationType: FloatType;
  readonly kvType: FloatType;
  readonly logitsType: FloatType;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly kvHeads: number;
}

export const TOKENS = 'input_ids';
export const ATTENTION_MASK = 'attention_mask';
export const POSITION_IDS = 'position_ids';
export const LOGITS = 'logits';

/** Between an attention node and the projections that feed it: rotary, q/k norms, biases, reshaping. */
const towardsProjection = new Set([
  'RotaryEmbedding',
  'Reshape',
  'SimplifiedLayerNormalization',
  'Add',
  'Cast',
  'Split',
  'Slice',
  'Transpose',
  'Identity',
]);
/** Between the head's projection and `logits`: casts, scales and soft caps. */
const towardsHead = new Set(['Cast', 'Identity', 'Mul', 'Div', 'Tanh', 'Add', 'Reshape']);
const projections = new Set(['MatMul', 'MatMulNBits', 'Gemm', 'GgufMatMul']);
const norms = new Set(['SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization']);
const pastName = /^past_key_values\.(\d{1,3})\.key$/;

/**
 * Finds the layers of a decoder graph by its attention nodes and the residual stream between them; names of nodes
 * do not matter, names of inputs and outputs do. Rotary nodes of `model` are rewired to plain `position_ids`. Throws
 * `unsupported-model` naming the node that is not understood, `bad-model` for a graph that is none.
 */
export function readAnatomy(model: OnnxModel): Anatomy {
  const index = indexGraph(model);
  for (const input of index.inputs.keys()) {
    if (input === TOKENS || input === ATTENTION_MASK || input === POSITION_IDS) {
      if (typeOf(index.inputs.get(input)) !== ONNX_INT64) unsupported(`the input ${input} is not int64`);
    } else if (!/^past_key_values\.\d{1,3}\.(key|value)$/.test(input))
      unsupported(`the input ${input.slice(0, 200)} is unknown`);
  }
  for (const needed of [TOKENS, ATTENTION_MASK])
    if (!index.inputs.has(needed)) unsupported(`there is no input ${needed}`);
  if (!index.outputs.has(LOGITS)) unsupported(`there is no output ${LOGITS}`);

  rewirePositions(index);
  const layers = readLayers(index);
  const entries = layers.map((layer) => layerEntry(index, layer));
  const boundaries = [...entries, headEntry(index)].map((norm) => readBoundary(norm));
  if (new Set(boundaries.map((boundary) => boundary.norm)).size !== boundaries.length) {
    unsupported('two layers begin with the same normalization');
  }
  const [first] = layers as [LayerAnatomy];
  return {
    index,
    layers,
    boundaries,
    activationType: floatType(elementType(index, boundaries[0]!.addends[0]), 'the residual stream'),
    kvType: floatType(typeOf(index.inputs.get(first.pastKey)), 'the KV cache'),
    logitsType: floatType(typeOf(index.outputs.get(LOGITS)), 'the output logits'),
    hiddenSize: readHiddenSize(index, boundaries),
    heads: intAttribute(first.attention, 'num_heads', 0),
    kvHeads: intAttribute(first.attention, 'kv_num_heads', 0),
  };
}

/** As long as every normalization's scale is. */
function readHiddenSize(index: GraphIndex, boundaries: readonly Boundary[]): number {
  const sizes = boundaries.map(({ norm, weight }) => {
    const tensor = index.initializers.get(weight);
    const [size, ...more] = tensor === undefined ? [] : tensorDims(tensor);
    if (size === undefined || size < 1 || more.length > 0)
      unsupported(`${describeNode(norm)}: its scale is not a vector of weights`);
    return size;
  });
  if (new Set(sizes).size !== 1) unsupported('the normalizations differ in size');
  return sizes[0]!;
}

/**
 * Makes rotary nodes read `position_ids` itself where they read it reshaped to the shape of `input_ids`: it has that
 * shape already, and a stage in the middle has no `input_ids`.
 */
function rewirePositions(index: GraphIndex): void {
  const reshaping = new Set(['Reshape', 'Identity', 'Unsqueeze', 'Squeeze']);
  for (const node of index.model.graph.node) {
    if (node.opType !== 'RotaryEmbedding') continue;
    let name = node.input[1] ?? '';
    for (
      let maker = index.producers.get(name);
      maker && reshaping.has(maker.opType);
      maker = index.producers.get(name)
    ) {
      name = maker.input[0] ?? '';
    }
    if (name === POSITION_IDS) node.input[1] = POSITION_IDS;
  }
}

function readLayers(index: GraphIndex): LayerAnatomy[] {
  const layers: LayerAnatomy[] = [];
  const attentions = index.model.graph.node.filter((node) => node.opType === 'GroupQueryAttention');
  if (attentions.length === 0) unsupported('there is no GroupQueryAttention node');
  if (attentions.length > MAX_LAYERS) throw new ChorusError('bad-model', `more than ${MAX_LAYERS} layers`);
  const [kvType, heads, kvHeads] = kvShape(index, attentions[0]!);
  for (const attention of attentions) {
    const [pastKey = '', pastValue = ''] = attention.input.slice(3);
    const [presentKey = '', presentValue = ''] = attention.output.slice(1);
    const layer = Number(pastName.exec(pastKey)?.[1] ?? -1);
    const expected = [`past_key_values.${layer}.value`, `present.${layer}.key`, `present.${layer}.value`];
    const inGraph =
      index.inputs.has(pastKey) &&
      index.inputs.has(pastValue) &&
      index.outputs.has(presentKey) &&
      index.outputs.has(presentValue);
    if (!inGraph || [pastValue, presentKey, presentValue].some((name, i) => name !== expected[i])) {
      unsupported(`${describeNode(attention)}: does not read past_key_values.N and write present.N`);
    }
    if (layer >= attentions.length || layers[layer] !== undefined)
      unsupported(`${describeNode(attention)}: layers are not numbered 0, 1, 2, …`);
    const shape = kvShape(index, attention);
    if (shape[0] !== kvType || shape[1] !== heads || shape[2] !== kvHeads)
      unsupported(`${describeNode(attention)}: layers differ in their heads`);
    layers[layer] = { attention, pastKey, pastValue, presentKey, presentValue };
  }
  if (index.inputs.size - 2 - Number(index.inputs.has(POSITION_IDS)) !== 2 * layers.length)
    unsupported('a KV input belongs to no layer');
  return layers;
}

function kvShape(index: GraphIndex, attention: NodeProto): [type: number, heads: number, kvHeads: number] {
  const heads = intAttribute(attention, 'num_heads', 0);
  const kvHeads = intAttribute(attention, 'kv_num_heads', 0);
  if (heads < 1 || heads > 1024 || kvHeads < 1 || heads % kvHeads !== 0) {
    throw new ChorusError('bad-model', `${describeNode(attention)}: ${heads} heads over ${kvHeads} KV heads`);
  }
  return [typeOf(index.inputs.get(attention.input[3] ?? '')), heads, kvHeads];
}

/** The normalization whose result the layer's projections read. */
function layerEntry(index: GraphIndex, layer: LayerAnatomy): NodeProto {
  const entries = layer.attention.input
    .slice(0, 3)
    .filter((input) => input !== '')
    .map((input) => projectedNorm(index, input, towardsProjection, layer.attention));
  const [first] = entries;
  if (first === undefined || entries.some((entry) => entry !== first)) {
    unsupported(`${describeNode(layer.attention)}: query, key and value do not come from one normalization`);
  }
  return first;
}

function headEntry(index: GraphIndex): NodeProto {
  return projectedNorm(index, LOGITS, towardsHead, undefined);
}

/** Walks back from `value` over `passing` operators to a projection, and on to the normalization before it. */
function projectedNorm(
  index: GraphIndex,
  value: string,
  passing: ReadonlySet<string>,
  reader: NodeProto | undefined,
): NodeProto {
  let node = index.producers.get(value);
  while (node !== undefined && !projections.has(node.opType)) {
    if (!passing.has(node.opType))
      unsupported(
        `${describeNode(node)}: ${node.opType} is not expected between a projection and ${reader ? describeNode(reader) : LOGITS}`,
      );
    node = index.producers.get(mainInput(index, node));
  }
  if (node === undefined) unsupported(`no projection leads to ${reader ? describeNode(reader) : LOGITS}`);
  const projection = node;
  let norm = index.producers.get(projection.input[0] ?? '');
  while (norm?.opType === 'Cast') norm = index.producers.get(norm.input[0] ?? '');
  if (norm === undefined || !norms.has(norm.opType))
    unsupported(`${describeNode(projection)}: its input is not a SimplifiedLayerNormalization`);
  return norm;
}

/** The input that is computed, where the others are constants (biases, scales, shapes, caches). */
function mainInput(index: GraphIndex, node: NodeProto): string {
  const constant = (name: string) => index.initializers.has(name) || index.producers.get(name)?.opType === 'Constant';
  return node.input.find((name) => name !== '' && !constant(name)) ?? '';
}

function readBoundary(norm: NodeProto): Boundary {
  const [a = '', b = '', gamma = '', bias = ''] = norm.input;
  if (norm.opType === 'SimplifiedLayerNormalization') {
    if (intAttribute(norm, 'axis', -1) !== -1)
      unsupported(`${describeNode(norm)}: normalizes another axis than the last`);
    return { norm, weight: b, addends: [a], sum: a };
  }
  if (bias !== '') unsupported(`${describeNode(norm)}: a bias is added to the residual stream`);
  return { norm, weight: gamma, addends: [a, b], sum: norm.output[3] || null };
}

/** ONNX element type of a value, as far as it follows from declared types, weights and casts. */
export function elementType(index: GraphIndex, value: string): number {
  let name = value;
  // No value is passed twice on the way back, for the graph has no cycles.
  for (;;) {
    const node = index.producers.get(name);
    if (node === undefined) return index.initializers.get(name)?.dataType ?? typeOf(index.inputs.get(name));
    if (node.opType === 'Cast') return intAttribute(node, 'to', 0);
    if (isGgufNode(node)) return ONNX_FLOAT32;
    name = (node.opType === 'GatherBlockQuantized' ? node.input[2] : node.input[0]) ?? '';
  }
}

export function typeOf(info: ValueInfoProto | undefined): number {
  const type = info?.type?.value;
  return type?.case === 'tensorType' ? type.value.elemType : 0;
}

function floatType(type: number, what: string): FloatType {
  if (type === ONNX_FLOAT32) return 'float32';
  if (type === ONNX_FLOAT16) return 'float16';
  return unsupported(`${what} is neither float32 nor float16`);
}

function unsupported(reason: string): never {
  throw new ChorusError('unsupported-model', reason);
}
