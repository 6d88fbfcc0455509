import { TensorProto_DataLocation } from 'onnx-buf';
import { ChorusError } from '#shared/errors.ts';
import { ggufBlockColumns, isGgufNode } from '#shared/model/gguf-weight.ts';
import { dropAttribute, intAttribute } from '#shared/model/node-attributes.ts';
import type { OnnxModel } from '#shared/model/onnx-file.ts';
import type { ReadWeight } from '#shared/model/quantized-weights.ts';
import { externalData, tensorByteLength, tensorDims } from '#shared/model/tensor-bytes.ts';

/**
 * Brings a graph, in place, into the form that manifests carry: no hints beside the nodes, caches as long as
 * `positions`, small constants as raw bytes, and `accuracy_level` 0 everywhere. Levels 2 to 4 would let a backend
 * round activations to f16, bf16 or 8 bits as it likes; 0 keeps them, the weights stay the same, and the numbers only
 * become more exact, so such models are taken with a warning instead of being refused.
 */
export function normalizeGraph(
  model: OnnxModel,
  read: ReadWeight,
  positions: number,
  warnings: string[],
): { model: OnnxModel; read: ReadWeight; maxPositions: number; blockSize: number } {
  const { graph } = model;
  const levels = new Set<number>();
  const blockSizes = new Set<number>();
  const caches = new Set<string>();
  let blocksOfFile = 0;
  for (const node of graph.node) {
    node.docString = '';
    node.metadataProps = [];
    if (node.opType === 'RotaryEmbedding') for (const name of node.input.slice(2, 4)) caches.add(name);
    if (node.opType === 'GroupQueryAttention') for (const name of node.input.slice(7, 9)) caches.add(name);
    if (isGgufNode(node)) blocksOfFile = Math.max(blocksOfFile, ggufBlockColumns(node));
    if (node.opType !== 'MatMulNBits') continue;
    blockSizes.add(intAttribute(node, 'block_size', 0));
    const level = intAttribute(node, 'accuracy_level', 0);
    if (level > 1) levels.add(level);
    dropAttribute(node, 'accuracy_level');
  }
  for (const level of levels) warnings.push(`accuracy_level ${level} was set to 0: it would round activations`);
  if (blockSizes.size > 1) warnings.push(`quantization blocks of different sizes: ${[...blockSizes].join(', ')}`);

  let maxPositions = positions;
  for (const tensor of graph.initializer) {
    if (caches.has(tensor.name)) maxPositions = Math.min(maxPositions, tensorDims(tensor)[0] ?? 0);
  }
  if (maxPositions < 1) throw new ChorusError('bad-model', 'a rotary cache has no rows');
  const trimmed = new Map<string, Uint8Array>();
  for (const tensor of graph.initializer) {
    if (!caches.has(tensor.name)) continue;
    const bytes = read(tensor);
    tensor.dims[0] = BigInt(maxPositions);
    trimmed.set(tensor.name, bytes.slice(0, tensorByteLength(tensor)));
  }
  const readTrimmed: ReadWeight = (tensor) => trimmed.get(tensor.name) ?? read(tensor);

  graph.valueInfo = [];
  graph.docString = '';
  graph.metadataProps = [];
  Object.assign(model, { docString: '', metadataProps: [], trainingInfo: [] });
  for (const tensor of graph.initializer) {
    tensor.docString = '';
    tensor.metadataProps = [];
    if (externalData(tensor) !== null && tensorByteLength(tensor) > 1024) continue;
    if (trimmed.has(tensor.name)) continue;
    const bytes = read(tensor);
    Object.assign(tensor, {
      floatData: [],
      int32Data: [],
      int64Data: [],
      doubleData: [],
      uint64Data: [],
      stringData: [],
    });
    Object.assign(tensor, { rawData: bytes, externalData: [], dataLocation: TensorProto_DataLocation.DEFAULT });
  }
  return { model, read: readTrimmed, maxPositions, blockSize: Math.max(blocksOfFile, ...blockSizes) };
}
