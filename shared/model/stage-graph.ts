import { clone, create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  ValueInfoProtoSchema,
  type NodeProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import {
  ATTENTION_MASK,
  LOGITS,
  POSITION_IDS,
  TOKENS,
  type Anatomy,
  type Boundary,
  type FloatType,
} from './anatomy.ts';
import { RESERVED_PREFIX, sortNodes } from './graph-index.ts';
import { createNode, intOf } from './node-attributes.ts';
import type { OnnxModel } from './onnx-file.ts';
import { describeNode } from './operators.ts';
import { describeRange, fitsModel, type StageRange } from './stage.ts';
import { ONNX_FLOAT16, ONNX_FLOAT32, ONNX_INT64 } from './tensor-bytes.ts';

export interface StageIo {
  /** int64 [1, n] token ids, or null if the stage reads hidden rows. */
  readonly tokens: string | null;
  /** [1, n, hiddenSize] rows of the residual stream in `activationType`. */
  readonly hidden: string | null;
  /** int64 [1, past + n], all ones. Null where nothing of the stage reads it, as with the next two. */
  readonly attentionMask: string | null;
  /** int64 [1, n] positions. */
  readonly positionIds: string | null;
  /** int64 [m]: which of the run's n rows the head turns into logits. */
  readonly logitsIndex: string | null;
  /** KV of each layer, [1, kvHeads, past, headSize] in and [1, kvHeads, past + n, headSize] out, in `kvType`. */
  readonly past: readonly { layer: number; key: string; value: string; presentKey: string; presentValue: string }[];
  /** [1, n, hiddenSize] in `activationType`, or [1, m, vocabularySize] in `logitsType` from the head. */
  readonly output: string;
  readonly activationType: FloatType;
  readonly kvType: FloatType;
  readonly logitsType: FloatType;
}

const HIDDEN_IN = `${RESERVED_PREFIX}hidden_in`;
const HIDDEN_OUT = `${RESERVED_PREFIX}hidden_out`;
const LOGITS_INDEX = `${RESERVED_PREFIX}logits_index`;
const WANTED_ROWS = `${RESERVED_PREFIX}wanted_rows`;

/**
 * Cuts layers [start, end) out of the whole graph. One tensor crosses a cut: the residual stream, after the `Add`
 * that the next skip-normalization would have done (exact in fp32). The new model shares weights with the old one.
 * Throws `bad-model` if the range is none of this model, `unsupported-model` if the layers are tied in other ways.
 */
export function cutStageGraph(anatomy: Anatomy, range: StageRange): { model: OnnxModel; io: StageIo } {
  const { index, layers } = anatomy;
  if (!fitsModel(range, layers.length))
    throw new ChorusError('bad-model', `the model has no stage ${describeRange(range)}`);
  const own = layers.slice(range.start, range.end);
  const output = range.head ? LOGITS : HIDDEN_OUT;
  const present = own.flatMap((layer) => [layer.presentKey, layer.presentValue]);
  const inputs = new Map(index.inputs);
  const index64 = tensorInfo(LOGITS_INDEX, ONNX_INT64, ['wanted_rows']);
  for (const info of [hiddenInfo(anatomy, HIDDEN_IN), index64]) inputs.set(info.name, info);

  const nodes = sortNodes({ ...index, inputs }, [output, ...present], stageMaker(anatomy, range));
  const read = new Set(nodes.flatMap((node) => node.input));
  const allowed = new Set([ATTENTION_MASK, POSITION_IDS, LOGITS_INDEX, range.embedding ? TOKENS : HIDDEN_IN]);
  for (const layer of own) allowed.add(layer.pastKey).add(layer.pastValue);
  for (const name of inputs.keys()) {
    if (!read.has(name) || allowed.has(name)) continue;
    const reader = nodes.find((node) => node.input.includes(name))!;
    throw new ChorusError(
      'unsupported-model',
      `${describeNode(reader)}: ${describeRange(range)} would also need ${name}`,
    );
  }
  if (!read.has(range.embedding ? TOKENS : HIDDEN_IN)) {
    throw new ChorusError('unsupported-model', `${describeRange(range)} does not depend on its input`);
  }

  const optional = (name: string) => (read.has(name) ? name : null);
  const io: StageIo = {
    tokens: optional(TOKENS),
    hidden: optional(HIDDEN_IN),
    attentionMask: optional(ATTENTION_MASK),
    positionIds: optional(POSITION_IDS),
    logitsIndex: optional(LOGITS_INDEX),
    past: own.map(({ pastKey, pastValue, presentKey, presentValue }, i) => {
      return { layer: range.start + i, key: pastKey, value: pastValue, presentKey, presentValue };
    }),
    output,
    activationType: anatomy.activationType,
    kvType: anatomy.kvType,
    logitsType: anatomy.logitsType,
  };
  const logits = tensorInfo(LOGITS, onnxType(anatomy.logitsType), ['batch_size', 'wanted_rows', 'vocabulary']);
  const graph = create(GraphProtoSchema, {
    name: index.model.graph.name,
    node: nodes,
    initializer: [...index.initializers.values()].filter((tensor) => read.has(tensor.name)),
    input: [...inputs.values()].filter((input) => read.has(input.name)),
    output: [range.head ? logits : hiddenInfo(anatomy, HIDDEN_OUT), ...present.map((name) => index.outputs.get(name)!)],
  });
  const { irVersion, opsetImport } = index.model;
  return {
    model: Object.assign(create(ModelProtoSchema, { irVersion, opsetImport, producerName: 'chorus' }), { graph }),
    io,
  };
}

/** Says which node makes a value inside the stage: nodes of the whole graph with their inputs renamed, or new ones. */
function stageMaker(anatomy: Anatomy, range: StageRange): (value: string) => NodeProto | undefined {
  const { boundaries, index, layers } = anatomy;
  const added = new Map<string, NodeProto>();
  const renamed = new Map<string, string>();
  const add = (node: NodeProto) => added.set(node.output[0] ?? '', node);

  const exit = boundaries[range.end]!;
  const isHeadAlone = range.start === layers.length;
  if (!range.embedding && !isHeadAlone) {
    const entry = boundaries[range.start]!;
    add(plainNorm(entry, HIDDEN_IN));
    if (entry.sum !== null) renamed.set(entry.sum, HIDDEN_IN);
  }
  if (!isHeadAlone) add(sumOf(exit, HIDDEN_OUT));
  if (range.head) {
    const rows = isHeadAlone ? HIDDEN_IN : HIDDEN_OUT;
    const axis = [intOf('axis', 1)];
    add(
      createNode('Gather', { name: WANTED_ROWS, input: [rows, LOGITS_INDEX], output: [WANTED_ROWS], attribute: axis }),
    );
    add(plainNorm(exit, WANTED_ROWS));
  }

  const copies = new Map<NodeProto, NodeProto>();
  return (value) => {
    const node = added.get(value) ?? index.producers.get(value);
    if (node === undefined) return undefined;
    let copy = copies.get(node);
    if (copy === undefined) {
      copy = clone(NodeProtoSchema, node);
      copy.input = node.input.map((name) => renamed.get(name) ?? name);
      copies.set(node, copy);
    }
    return copy;
  };
}

/** The boundary's normalization, of a sum that is already there. */
function plainNorm({ norm, weight }: Boundary, input: string): NodeProto {
  const epsilon = norm.attribute.filter((attribute) => attribute.name === 'epsilon');
  const attribute = [intOf('axis', -1), intOf('stash_type', 1), ...epsilon];
  return createNode('SimplifiedLayerNormalization', {
    name: norm.name,
    input: [input, weight],
    output: norm.output.slice(0, 1),
    attribute,
  });
}

function sumOf({ addends }: Boundary, output: string): NodeProto {
  return createNode(addends.length === 2 ? 'Add' : 'Identity', { name: output, input: [...addends], output: [output] });
}

function hiddenInfo(anatomy: Anatomy, name: string): ValueInfoProto {
  return tensorInfo(name, onnxType(anatomy.activationType), ['batch_size', 'sequence_length', anatomy.hiddenSize]);
}

function onnxType(type: FloatType): number {
  return type === 'float32' ? ONNX_FLOAT32 : ONNX_FLOAT16;
}

/** An input or output of a graph: a tensor of this type, each dimension a number or a name. */
export function tensorInfo(name: string, elemType: number, dims: readonly (string | number)[]): ValueInfoProto {
  const dim = dims.map((size) => ({
    value:
      typeof size === 'number'
        ? { case: 'dimValue' as const, value: BigInt(size) }
        : { case: 'dimParam' as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType, shape: { dim } } } },
  });
}
