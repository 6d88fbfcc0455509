import type { Anatomy } from '#shared/model/anatomy.ts';
import { ggufWeight, isGgufNode } from '#shared/model/gguf-weight.ts';
import { quantizedWeight, weightFinder, weightKey } from '#shared/model/quantized-weights.ts';
import { tensorDims, tensorType } from '#shared/model/tensor-bytes.ts';
import type { ModelConfig } from './model-folder.ts';

/** Numbers that were learned: caches, scales and zero points are none, and a tied table counts once. */
export function countParameters(anatomy: Anatomy, config: ModelConfig): number {
  const { graph } = anatomy.index.model;
  const find = weightFinder(graph);
  const counted = new Map<string, number>();
  const derived = new Set<string>();
  for (const node of graph.node) {
    if (node.opType === 'MatMulNBits' || node.opType === 'GatherBlockQuantized') {
      const weight = quantizedWeight(node, find);
      counted.set(weightKey(weight), weight.rows * weight.columns);
      for (const tensor of [weight.quants, weight.scales, weight.zeroPoints]) if (tensor) derived.add(tensor.name);
    }
    if (isGgufNode(node)) {
      const { tensor, rows, columns } = ggufWeight(node, find);
      counted.set(tensor.name, rows * columns);
    }
    if (node.opType === 'RotaryEmbedding') for (const name of node.input.slice(2)) derived.add(name);
    if (node.opType === 'GroupQueryAttention') for (const name of node.input.slice(7)) derived.add(name);
  }
  const table = config.vocab_size * config.hidden_size;
  let tables = 0;
  for (const tensor of graph.initializer) {
    const isFloat = ['float32', 'float16'].includes(tensorType(tensor));
    if (isFloat && !derived.has(tensor.name))
      counted.set(
        tensor.name,
        tensorDims(tensor).reduce((all, dim) => all * dim, 1),
      );
  }
  for (const count of counted.values()) if (count === table) tables++;
  const twice = config.tie_word_embeddings === true && tables === 2 ? table : 0;
  return [...counted.values()].reduce((sum, count) => sum + count, 0) - twice;
}
