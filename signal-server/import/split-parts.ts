import type { TensorProto } from 'onnx-buf';
import { ChorusError } from '#shared/errors.ts';
import type { Anatomy } from '#shared/model/anatomy.ts';
import { cutStageGraph } from '#shared/model/stage-graph.ts';
import { tensorByteLength, tensorType } from '#shared/model/tensor-bytes.ts';

/** Shapes, axes and scalars stay in the graph: the runtime wants to know them before it loads weights. */
const MAX_INLINE_BYTES = 64;
const MAX_INLINE_INTEGER_BYTES = 1024;

export interface PlannedPart {
  readonly name: string;
  readonly weights: TensorProto[];
  readonly uses: string[];
}

/**
 * Gives each weight to the one part that reads it: `embedding`, `layer.N` or `head`. A table that embedding and head
 * share goes to `embedding`, weights that layers share to `common`. Small constants stay in the graph. Every layer
 * is cut out alone on the way, so a model that cannot be cut throws `unsupported-model` here.
 */
export function planParts(anatomy: Anatomy): { parts: PlannedPart[]; inline: TensorProto[] } {
  const last = anatomy.layers.length;
  const stages = [
    { name: 'embedding', range: { start: 0, end: 0, embedding: true, head: false } },
    ...anatomy.layers.map((_, i) => ({
      name: `layer.${i}`,
      range: { start: i, end: i + 1, embedding: false, head: false },
    })),
    { name: 'head', range: { start: last, end: last, embedding: false, head: true } },
  ];
  const readers = new Map<TensorProto, string[]>();
  for (const { name, range } of stages) {
    for (const tensor of cutStageGraph(anatomy, range).model.graph.initializer) {
      readers.set(tensor, [...(readers.get(tensor) ?? []), name]);
    }
  }

  const parts = new Map<string, PlannedPart>();
  for (const name of [...stages.map((stage) => stage.name), 'common']) parts.set(name, { name, weights: [], uses: [] });
  const inline: TensorProto[] = [];
  for (const [tensor, names] of readers) {
    if (isInline(tensor)) {
      inline.push(tensor);
      continue;
    }
    const owner = ownerOf(names);
    parts.get(owner)!.weights.push(tensor);
    for (const name of names) {
      const { uses } = parts.get(name)!;
      if (name !== owner && !uses.includes(owner)) uses.push(owner);
    }
  }
  for (const part of parts.values()) {
    if (part.weights.length > 4096) throw new ChorusError('bad-model', `${part.name} has more than 4096 weights`);
  }
  return { parts: [...parts.values()].filter((part) => part.name !== 'common' || part.weights.length > 0), inline };
}

function ownerOf([first = 'common', ...more]: readonly string[]): string {
  if (more.length === 0) return first;
  return first === 'embedding' && more.length === 1 && more[0] === 'head' ? 'embedding' : 'common';
}

function isInline(tensor: TensorProto): boolean {
  const isInteger = ['int64', 'int32'].includes(tensorType(tensor));
  return tensorByteLength(tensor) <= (isInteger ? MAX_INLINE_INTEGER_BYTES : MAX_INLINE_BYTES);
}
