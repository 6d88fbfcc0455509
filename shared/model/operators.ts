import type { NodeProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';

/** Where an operator runs on a backend: in its own kernels, or (few, tiny, integer) on the CPU beside a GPU, or not at all. */
export type Placement = 'native' | 'cpu' | 'none';
export interface OperatorSupport {
  readonly wasm: Placement;
  readonly webgpu: Placement;
}

const both: OperatorSupport = { wasm: 'native', webgpu: 'native' };
const beside: OperatorSupport = { wasm: 'native', webgpu: 'cpu' };

/**
 * Every operator a model may use: those that the builder family needs and that onnxruntime-web 1.30 runs on both
 * backends, and products with blocks of GGUF files, which the engine alone holds as they are. `Shape` gives its result on
 * the CPU wherever it runs.
 */
const supported: ReadonlyMap<string, OperatorSupport> = new Map([
  ...['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Pow', 'Sqrt', 'Sigmoid', 'Tanh', 'Relu', 'Gelu', 'Clip', 'Softmax'].map(
    entry(both),
  ),
  ...['MatMul', 'Gemm', 'Gather', 'Cast', 'Concat', 'Split', 'Slice', 'Transpose', 'Reshape', 'Expand', 'Where'].map(
    entry(both),
  ),
  ...['Unsqueeze', 'Squeeze', 'Flatten', 'Identity', 'Equal', 'Greater', 'Less', 'Range'].map(entry(both)),
  ...['ReduceSum', 'ReduceMax', 'ReduceMean', 'SimplifiedLayerNormalization'].map(entry(both)),
  ...['Shape', 'Constant', 'ConstantOfShape'].map(entry(beside)),
  ...['MatMulNBits', 'GatherBlockQuantized', 'GroupQueryAttention', 'RotaryEmbedding', 'QuickGelu', 'FastGelu', 'Gelu']
    .concat(['SkipSimplifiedLayerNormalization'])
    .map((name) => entry(both)(`com.microsoft.${name}`)),
  ...['GgufMatMul', 'GgufGather'].map((name) => entry({ wasm: 'native', webgpu: 'none' })(`chorus.${name}`)),
]);

function entry(support: OperatorSupport): (name: string) => [string, OperatorSupport] {
  return (name) => [name, support];
}

/** `MatMul`, or with its domain `com.microsoft.MatMulNBits`. */
export function operatorName(node: NodeProto): string {
  return node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}.${node.opType}`;
}

/** Throws `unsupported-model` if some backend would not run the node. */
export function operatorSupport(node: NodeProto): OperatorSupport {
  const support = supported.get(operatorName(node));
  if (support) return support;
  throw new ChorusError(
    'unsupported-model',
    `${describeNode(node)}: the operator ${operatorName(node)} is not supported`,
  );
}

export function describeNode(node: NodeProto): string {
  return `node ${(node.name || node.output[0] || '(without a name)').slice(0, 200)}`;
}
