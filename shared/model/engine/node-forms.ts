import type { NodeProto } from 'onnx-buf';
import { floatAttribute, intAttribute } from '../node-attributes.ts';
import { NotPlanned, type UnaryOperation } from './plan.ts';

const UNARY: ReadonlyMap<string, UnaryOperation> = new Map([
  ['Sigmoid', 'sigmoid'],
  ['Tanh', 'tanh'],
  ['Relu', 'relu'],
  ['Gelu', 'gelu'],
  ['FastGelu', 'geluTanh'],
  ['QuickGelu', 'quickGelu'],
]);
/** Attributes of an attention that the engine reads; any other may change what is computed. */
const ATTENTION_ATTRIBUTES = new Set([
  ...['num_heads', 'kv_num_heads', 'scale', 'softcap', 'do_rotary', 'rotary_interleaved'],
  ...['local_window_size', 'smooth_softmax', 'qk_output'],
]);

/** The function that a node applies to each number; null for a node that does something else. */
export function unaryOf(node: NodeProto): UnaryOperation | null {
  const operation = UNARY.get(node.opType) ?? null;
  const approximate = node.attribute.find((attribute) => attribute.name === 'approximate');
  if (operation === 'gelu' && approximate !== undefined) {
    return new TextDecoder().decode(approximate.s) === 'tanh' ? 'geluTanh' : 'gelu';
  }
  const hasBias = operation === 'geluTanh' && Boolean(node.input[1]);
  const factor = operation === 'quickGelu' ? floatAttribute(node, 'alpha', 1.702) : 1.702;
  if (hasBias || Math.fround(factor) !== Math.fround(1.702)) {
    throw new NotPlanned(node, 'an activation with a bias or another factor');
  }
  return operation;
}

/** True for a Transpose of a matrix. */
export function swapsAxes(node: NodeProto): boolean {
  const order = node.attribute.find((attribute) => attribute.name === 'perm')?.ints.map(Number) ?? [1, 0];
  return node.opType === 'Transpose' && order.join() === '1,0';
}

/** What the attributes of an attention say. Throws NotPlanned for any other than attention to all positions before. */
export function attentionOf(node: NodeProto): {
  readonly heads: number;
  readonly kvHeads: number;
  readonly softcap: number;
  readonly isTurning: boolean;
} {
  const softcap = floatAttribute(node, 'softcap', 0);
  const isKnown =
    intAttribute(node, 'local_window_size', -1) === -1 &&
    intAttribute(node, 'smooth_softmax', 0) === 0 &&
    intAttribute(node, 'qk_output', 0) === 0 &&
    softcap >= 0 &&
    node.attribute.every(({ name }) => ATTENTION_ATTRIBUTES.has(name)) &&
    node.input.slice(9).every((input) => input === '');
  if (!isKnown) throw new NotPlanned(node, 'an attention with a window, a sink or a bias');
  const heads = intAttribute(node, 'num_heads', 0);
  const kvHeads = intAttribute(node, 'kv_num_heads', 0);
  if (heads < 1 || kvHeads < 1 || heads % kvHeads !== 0) throw new NotPlanned(node, 'its heads are not in groups');
  return { heads, kvHeads, softcap, isTurning: intAttribute(node, 'do_rotary', 0) === 1 };
}

/**
 * How many numbers a part has where rows of `width` are reshaped to `dims`: [batch, positions, ...], so that each position's
 * numbers stay together; `width` for whole rows. Throws NotPlanned for any other shape.
 */
export function partOf(node: NodeProto, dims: readonly number[], width: number): number {
  const [batch = -1, positions = 0, ...inner] = dims;
  const last = inner.at(-1) ?? 0;
  const product = inner.reduce((all, dim) => all * dim, 1);
  // The inner dimensions make up a whole row, or the second one runs over positions × heads.
  const isWhole = (positions === 0 || positions === -1) && inner.every((dim) => dim > 0) && product === width;
  const isCut = positions === -1 && inner.length === 1 && last > 0 && width % last === 0;
  const isKnown = (batch === 0 || batch === 1) && intAttribute(node, 'allowzero', 0) === 0;
  if (!isKnown || !(isWhole || isCut)) throw new NotPlanned(node, 'reshapes rows in a way that is not known');
  return last;
}
