import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  TensorProtoSchema,
  type AttributeProto,
  type NodeProto,
} from 'onnx-buf';
import type { CutStage } from '#shared/model/cut.ts';
import { createNode, intOf } from '#shared/model/node-attributes.ts';
import type { syntheticShapes } from './synthetic-models.ts';

export type ShapeName = keyof typeof syntheticShapes;
export const middle = { start: 1, end: 2, embedding: false, head: false };

export function nodeOf({ model }: CutStage, part: string): NodeProto {
  return model.graph.node.find((node) => node.name.includes(part))!;
}

export function set(node: NodeProto, ...attributes: AttributeProto[]): void {
  const names = attributes.map(({ name }) => name);
  node.attribute = [...node.attribute.filter(({ name }) => !names.includes(name)), ...attributes];
}

function floatOf(name: string, f: number): AttributeProto {
  return create(AttributeProtoSchema, { name, type: Kind.FLOAT, f });
}

/** A constant of integers as a weight, under a new name. */
function integers({ model }: CutStage, name: string, values: readonly number[]): string {
  const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  model.graph.initializer.push(
    create(TensorProtoSchema, { name, dataType: 7, dims: [BigInt(values.length)], rawData }),
  );
  return name;
}

/** Puts a node between `reader` and its input `at`. */
export function interpose(
  cut: CutStage,
  reader: NodeProto,
  at: number,
  opType: string,
  more: string[] = [],
  attribute: AttributeProto[] = [],
): void {
  const name = `stranger/${opType}`;
  cut.model.graph.node.push(
    createNode(opType, { name, input: [reader.input[at]!, ...more], output: [name], attribute }),
  );
  reader.input[at] = name;
}

/** Three parts in place of packed queries, keys and values. */
export function splitQkv(cut: CutStage, sizes: readonly number[]): void {
  const reader = nodeOf(cut, 'GroupQueryAttention');
  const output = ['q', 'k', 'v'];
  const input = [reader.input[0]!, integers(cut, 'sizes', sizes)];
  cut.model.graph.node.push(
    createNode('Split', { name: 'stranger/Split', input, output, attribute: [intOf('axis', -1)] }),
  );
  reader.input.splice(0, 3, ...output);
}

/** Same shape, other sizes: the table, or what makes logits, of fewer rows. */
function shorten({ model }: CutStage, part: string, axis: number): void {
  const tensor = model.graph.initializer.find(({ name }) => name.includes(part))!;
  const rows = Number(tensor.dims[axis]);
  tensor.rawData = tensor.rawData.slice(0, (tensor.rawData.length / rows) * (rows - 1));
  tensor.dims[axis] = BigInt(rows - 1);
}

export const attention = 'GroupQueryAttention';
/** Changes to a cut stage after which the engine has no plan for it; the node that is to be named. */
export const strangeChanges: readonly (readonly [
  what: string,
  shape: ShapeName,
  named: string,
  change: (cut: CutStage) => void,
])[] = [
  ['attention to a window', 'smolFp32', attention, (cut) => set(nodeOf(cut, attention), intOf('local_window_size', 4))],
  [
    'attention with a smooth softmax',
    'smolFp32',
    attention,
    (cut) => set(nodeOf(cut, attention), intOf('smooth_softmax', 1)),
  ],
  [
    'attention with an attribute of a later version',
    'smolFp32',
    attention,
    (cut) => set(nodeOf(cut, attention), intOf('sliding', 1)),
  ],
  [
    'attention with a bias',
    'smolFp32',
    attention,
    (cut) => void nodeOf(cut, attention).input.push('', 'chorus/hidden_in'),
  ],
  ['attention without keys', 'smolFp32', attention, (cut) => void (nodeOf(cut, attention).input[1] = '')],
  ['attention without values', 'smolFp32', attention, (cut) => void (nodeOf(cut, attention).input[2] = '')],
  ['attention of no heads', 'smolFp32', attention, (cut) => set(nodeOf(cut, attention), intOf('num_heads', 0))],
  [
    'attention of fewer than no key heads',
    'smolPackedQ4f16',
    attention,
    (cut) => set(nodeOf(cut, attention), intOf('kv_num_heads', -1)),
  ],
  [
    'attention of heads that are in no groups',
    'smolFp32',
    attention,
    (cut) => set(nodeOf(cut, attention), intOf('kv_num_heads', 2)),
  ],
  [
    'attention of other heads than its keys have',
    'qwenFp16',
    attention,
    (cut) => set(nodeOf(cut, attention), intOf('kv_num_heads', 4)),
  ],
  [
    'angles of more dimensions than a head has',
    'smolFp32',
    attention,
    (cut) => {
      for (const { name, dims } of cut.model.graph.initializer)
        if (name.endsWith('_cache')) dims.splice(0, 2, dims[0]! / 4n, dims[1]! * 4n);
    },
  ],
  [
    'queries that are turned and read again',
    'smolFp32',
    attention,
    (cut) => {
      const [query] = nodeOf(cut, attention).input;
      interpose(cut, nodeOf(cut, 'o_proj'), 0, 'Add', [query!]);
    },
  ],
  [
    'queries that are turned and read again under another name',
    'smolFp32',
    attention,
    (cut) => {
      interpose(cut, nodeOf(cut, attention), 0, 'Identity');
      interpose(cut, nodeOf(cut, 'o_proj'), 0, 'Add', [nodeOf(cut, 'stranger/Identity').input[0]!]);
    },
  ],
  [
    'keys and values of one place',
    'smolFp32',
    attention,
    (cut) => void (nodeOf(cut, attention).input[2] = nodeOf(cut, attention).input[1]!),
  ],
  [
    'rotary embedding by other positions',
    'qwenFp16',
    'q_rotary',
    (cut) => void (nodeOf(cut, 'q_rotary').input[1] = 'input_ids'),
  ],
  [
    'rotary embedding of heads of another size',
    'qwenFp16',
    'q_rotary',
    (cut) => set(nodeOf(cut, 'q_rotary'), intOf('num_heads', 3)),
  ],
  [
    'rotary embedding of half a head without saying so',
    'qwenFp16',
    'q_rotary',
    (cut) => set(nodeOf(cut, 'q_rotary'), intOf('num_heads', 2), intOf('rotary_embedding_dim', 0)),
  ],
  [
    'rows reshaped across positions',
    'qwenFp16',
    'q_norm/Reshape_1',
    (cut) => void (nodeOf(cut, 'q_norm/Reshape_1').input[1] = integers(cut, 'shape', [-1, 2, 32])),
  ],
  [
    'rows reshaped to more than a row',
    'qwenFp16',
    'q_norm/Reshape_1',
    (cut) => void (nodeOf(cut, 'q_norm/Reshape_1').input[1] = integers(cut, 'shape', [0, -1, 256])),
  ],
  [
    'rows reshaped into a batch',
    'qwenFp16',
    'q_norm/Reshape_1',
    (cut) => void (nodeOf(cut, 'q_norm/Reshape_1').input[1] = integers(cut, 'shape', [4, -1, 32])),
  ],
  [
    'parts normed by a scale of another size',
    'qwenFp16',
    'q_norm/LayerNorm',
    (cut) => void (nodeOf(cut, 'q_norm/Reshape_1').input[1] = integers(cut, 'shape', [0, -1, 64])),
  ],
  [
    'parts that another than a norm reads',
    'qwenFp16',
    'q_rotary',
    (cut) => void (nodeOf(cut, 'q_rotary').input[0] = nodeOf(cut, 'q_norm/LayerNorm').output[0]!),
  ],
  [
    'parts of fewer than no columns',
    'smolPackedQ4f16',
    'stranger/Split',
    (cut) => splitQkv(cut, [-4096, 4096 + 128, 32]),
  ],
  ['parts that are no fours', 'smolPackedQ4f16', 'stranger/Split', (cut) => splitQkv(cut, [94, 34, 32])],
  ['parts that are less than the row', 'smolPackedQ4f16', 'stranger/Split', (cut) => splitQkv(cut, [96, 32, 28])],
  [
    'an operator that it does not have',
    'smolFp32',
    'act_fn/Sigmoid',
    (cut) => void (nodeOf(cut, 'act_fn/Sigmoid').opType = 'Conv'),
  ],
  [
    'an activation of a constant',
    'smolFp32',
    'act_fn/Sigmoid',
    (cut) => void (nodeOf(cut, 'act_fn/Sigmoid').input[0] = 'model.layers.1.post_attention_layernorm.weight'),
  ],
  [
    'a fast GELU with a bias',
    'smolFp32',
    'act_fn/Sigmoid',
    (cut) => {
      const node = nodeOf(cut, 'act_fn/Sigmoid');
      node.opType = 'FastGelu';
      node.input.push('model.layers.1.post_attention_layernorm.weight');
    },
  ],
  [
    'a quick GELU by another factor',
    'smolFp32',
    'act_fn/Sigmoid',
    (cut) => {
      nodeOf(cut, 'act_fn/Sigmoid').opType = 'QuickGelu';
      set(nodeOf(cut, 'act_fn/Sigmoid'), floatOf('alpha', 1.5));
    },
  ],
  [
    'rows cast to integers',
    'smolFp32',
    'stranger/Cast',
    (cut) => interpose(cut, nodeOf(cut, 'act_fn/Sigmoid'), 0, 'Cast', [], [intOf('to', 7)]),
  ],
  [
    'a norm of another axis',
    'smolFp32',
    'input_layernorm',
    (cut) => set(nodeOf(cut, 'input_layernorm'), intOf('axis', 1)),
  ],
  [
    'a sum with a column',
    'smolFp32',
    'stranger/Add',
    (cut) => {
      const { graph } = cut.model;
      const norm = graph.initializer.find(({ name }) => name.includes('post_attention_layernorm'))!;
      graph.initializer.push(
        create(TensorProtoSchema, { name: 'column', dataType: 1, dims: [96n, 1n], rawData: norm.rawData }),
      );
      interpose(cut, nodeOf(cut, 'gate_proj'), 0, 'Add', ['column']);
    },
  ],
  [
    'a product with a weight that is not turned',
    'smolFp32',
    'lm_head/MatMul',
    (cut) =>
      set(
        nodeOf(cut, 'lm_head/Transpose'),
        create(AttributeProtoSchema, { name: 'perm', type: Kind.INTS, ints: [0n, 1n] }),
      ),
  ],
  ['a table of fewer rows than tokens', 'smolQ8', 'embed_tokens/Gather', (cut) => shorten(cut, 'embed_tokens', 0)],
  [
    'a gathering of columns',
    'smolQ8',
    'embed_tokens/Gather',
    (cut) => set(nodeOf(cut, 'embed_tokens/Gather'), intOf('axis', 1)),
  ],
  [
    'fewer logits than tokens',
    'smolFp32',
    'lm_head/MatMul',
    (cut) => void (nodeOf(cut, 'lm_head/MatMul').input[1] = nodeOf(cut, 'gate_proj').input[1]!),
  ],
];
