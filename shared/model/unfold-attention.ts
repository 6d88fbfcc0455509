import { create } from '@bufbuild/protobuf';
import { TensorProtoSchema, type AttributeProto, type GraphProto, type NodeProto, type TensorProto } from 'onnx-buf';
import { RESERVED_PREFIX } from './graph-index.ts';
import { createNode, floatAttribute, floatOf, intAttribute, intOf, intsOf } from './node-attributes.ts';
import type { OnnxModel } from './onnx-file.ts';
import { ONNX_FLOAT32, ONNX_INT64 } from './tensor-bytes.ts';

/** A GroupQueryAttention node as far as it is understood. */
interface Attention {
  /** One value, packed, or three. */
  readonly rows: readonly string[];
  readonly pastKey: string;
  readonly pastValue: string;
  readonly outputs: readonly [output: string, presentKey: string, presentValue: string];
  readonly heads: number;
  readonly kvHeads: number;
  readonly scale: number;
  /** 0 for none. */
  readonly softcap: number;
  readonly rotary: Rotary | null;
}

interface Rotary {
  readonly caches: readonly [cosine: string, sine: string];
  /** How many values of each head are turned. */
  readonly width: number;
  readonly interleaved: number;
}

/** Adds nodes to a graph; `node` gives the name of the value made. Constants are there once, however often asked for. */
interface Writer {
  node(opType: string, input: readonly string[], attribute?: readonly AttributeProto[], output?: string): string;
  contrib: Writer['node'];
  floats(value: number): string;
  ints(values: readonly number[], isScalar?: boolean): string;
}

const PREFIX = `${RESERVED_PREFIX}attention/`;
/** From here on Softmax and Squeeze mean what they mean below. */
const OLDEST_OPERATORS = 13n;
const understood = ['num_heads', 'kv_num_heads', 'scale', 'softcap', 'do_rotary', 'rotary_interleaved'];
/** Attributes that ask for nothing as long as they have these values. */
const idle = new Map([
  ['local_window_size', -1],
  ['smooth_softmax', 0],
  ['qk_output', 0],
]);

/**
 * Replaces every GroupQueryAttention of a model, in place, by the products and the Softmax it is made of, with the same
 * inputs and outputs: the WASM backend runs the node at a twentieth of the speed of its products wherever a run has two
 * positions or more. The mask is taken to be all ones, as every stage is fed. A node that asks for more than is understood
 * here (a window, sinks, biases) stays.
 */
export function unfoldAttention({ graph, opsetImport }: OnnxModel): void {
  const operators = opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0n;
  if (operators < OLDEST_OPERATORS) return;
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const headSizes = new Map(graph.input.map((input) => [input.name, lastDim(input)]));
  const nodes: NodeProto[] = [];
  const writer = createWriter(graph, nodes);
  let places: Places | undefined;
  for (const node of graph.node) {
    const attention = node.opType === 'GroupQueryAttention' ? readAttention(node, weights, headSizes) : null;
    if (attention === null) nodes.push(node);
    else writeAttention(writer, attention, (places ??= writePlaces(writer, attention)));
  }
  graph.node = nodes;
}

function readAttention(
  node: NodeProto,
  weights: ReadonlyMap<string, TensorProto>,
  headSizes: ReadonlyMap<string, number>,
): Attention | null {
  const isAsked = ({ name }: AttributeProto) =>
    !understood.includes(name) && (!idle.has(name) || intAttribute(node, name, 0) !== idle.get(name));
  const [query = '', key = '', value = '', pastKey = '', pastValue = '', , , cosine = '', sine = ''] = node.input;
  const [output = '', presentKey = '', presentValue = ''] = node.output;
  const headSize = headSizes.get(pastKey) ?? 0;
  const isMore = [...node.input.slice(9), ...node.output.slice(3)].some((name) => name !== '');
  const rows = [query, key, value].filter((name) => name !== '');
  if (node.attribute.some(isAsked) || isMore || headSize < 1 || rows.length === 2) return null;
  if ([query, pastKey, pastValue, output, presentKey, presentValue].includes('')) return null;
  const isTurned = intAttribute(node, 'do_rotary', 0) !== 0;
  const [, columns] = weights.get(cosine)?.dims ?? [];
  if (isTurned && (columns === undefined || sine === '')) return null;
  return {
    rows,
    pastKey,
    pastValue,
    outputs: [output, presentKey, presentValue],
    heads: intAttribute(node, 'num_heads', 0),
    kvHeads: intAttribute(node, 'kv_num_heads', 0),
    scale: floatAttribute(node, 'scale', 0) || headSize ** -0.5,
    softcap: floatAttribute(node, 'softcap', 0),
    rotary: isTurned
      ? {
          caches: [cosine, sine],
          width: 2 * Number(columns),
          interleaved: intAttribute(node, 'rotary_interleaved', 0),
        }
      : null,
  };
}

/** The declared size of the last dimension; 0 where there is none. */
function lastDim({ type }: GraphProto['input'][number]): number {
  const dim = type?.value.case === 'tensorType' ? type.value.value.shape?.dim.at(-1)?.value : undefined;
  return dim?.case === 'dimValue' ? Number(dim.value) : 0;
}

/** What all layers of a run have in common. */
interface Places {
  /** int64 [1, n]. */
  readonly positions: string;
  /** f32 [n, past + n]: 0 where a position sees another, and minus infinity where that one comes later. */
  readonly mask: string;
}

function writePlaces({ node, floats, ints }: Writer, { rows, pastKey }: Attention): Places {
  const sizeOf = (value: string, axis: number) => node('Gather', [node('Shape', [value]), ints([axis], true)]);
  const past = sizeOf(pastKey, 2);
  const total = node('Add', [past, sizeOf(rows[0]!, 1)]);
  const own = node('Range', [past, total, ints([1], true)]);
  const seen = node('Range', [ints([0], true), total, ints([1], true)]);
  const isLater = node('Greater', [seen, node('Reshape', [own, ints([-1, 1])])]);
  return {
    positions: node('Reshape', [own, ints([1, -1])]),
    mask: node('Where', [isLater, floats(-Infinity), floats(0)]),
  };
}

function writeAttention(writer: Writer, attention: Attention, { positions, mask }: Places): void {
  const { node, contrib, floats, ints } = writer;
  const { rows, pastKey, pastValue, heads, kvHeads, scale, softcap, rotary } = attention;
  const [output, presentKey, presentValue] = attention.outputs;
  const swap = [intsOf('perm', [0, 2, 1, 3])];
  /** [1, n, count * headSize] as [1, count, n, headSize]. */
  const split = (flat: string, count: number) =>
    node('Transpose', [node('Reshape', [flat, ints([0, 0, count, -1])])], swap);
  const turn = (plain: string, count: number) => {
    if (rotary === null) return plain;
    const sizes = [intOf('num_heads', count), intOf('rotary_embedding_dim', rotary.width)];
    const attribute = [...sizes, intOf('interleaved', rotary.interleaved)];
    return contrib('RotaryEmbedding', [plain, positions, ...rotary.caches], attribute);
  };
  const counts = [heads, kvHeads, kvHeads];
  const ends = [heads, heads + kvHeads, heads + 2 * kvHeads];
  const packed = rows.length === 1 ? split(rows[0]!, ends[2]!) : '';
  const [query, key, value] = counts.map((count, i) =>
    packed === ''
      ? split(rows[i]!, count)
      : node('Slice', [packed, ints([ends[i]! - count]), ints([ends[i]!]), ints([1])]),
  ) as [string, string, string];

  const keys = node('Concat', [pastKey, turn(key, kvHeads)], [intOf('axis', 2)], presentKey);
  const values = node('Concat', [pastValue, value], [intOf('axis', 2)], presentValue);
  // Heads that share keys and values lie side by side, so the rows of all of them are those of one product.
  const grouped = (rowsOfHeads: string) => node('Reshape', [rowsOfHeads, ints([0, kvHeads, -1, 0])]);
  const single = (rowsOfGroups: string) => node('Reshape', [rowsOfGroups, ints([0, heads, -1, 0])]);
  const queries = grouped(turn(query, heads));
  let scores = contrib('FusedMatMul', [queries, keys], [intOf('transB', 1), floatOf('alpha', scale)]);
  if (softcap > 0) scores = node('Mul', [node('Tanh', [node('Div', [scores, floats(softcap)])]), floats(softcap)]);
  const seen = node('Softmax', [node('Add', [single(scores), mask])], [intOf('axis', -1)]);
  const mixed = single(node('MatMul', [grouped(seen), values]));
  node('Reshape', [node('Transpose', [mixed], swap), ints([0, 0, -1])], [], output);
}

function createWriter(graph: GraphProto, nodes: NodeProto[]): Writer {
  const constants = new Set<string>();
  const constant = (label: string, dataType: number, dims: readonly number[], data: Float32Array | BigInt64Array) => {
    const name = `${PREFIX}${label}`;
    const rawData = new Uint8Array(data.buffer as ArrayBuffer);
    if (!constants.has(name))
      graph.initializer.push(create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData }));
    constants.add(name);
    return name;
  };
  const add =
    (domain: string): Writer['node'] =>
    (opType, input, attribute = [], output) => {
      const name = `${PREFIX}${nodes.length}`;
      nodes.push(
        createNode(opType, { name, domain, input: [...input], output: [output ?? name], attribute: [...attribute] }),
      );
      return output ?? name;
    };
  return {
    node: add(''),
    contrib: add('com.microsoft'),
    floats: (value) => constant(`float/${value}`, ONNX_FLOAT32, [], Float32Array.of(value)),
    ints(values, isScalar = false) {
      const dims = isScalar ? [] : [values.length];
      return constant(`int64/${dims.length}/${values.join()}`, ONNX_INT64, dims, BigInt64Array.from(values, BigInt));
    },
  };
}
