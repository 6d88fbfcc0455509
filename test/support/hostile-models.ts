import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  FunctionProtoSchema,
  GraphProtoSchema,
  NodeProtoSchema,
  ValueInfoProtoSchema,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import type { ErrorCode } from '#shared/errors.ts';
import { intOf } from '#shared/model/node-attributes.ts';
import type { OnnxModel } from '#shared/model/onnx-file.ts';

export interface HostileChange {
  readonly what: string;
  readonly code: ErrorCode;
  /** Spoils one thing of a sound q4 model. */
  readonly spoil: (model: OnnxModel) => void;
}

const nodeNamed = ({ graph }: OnnxModel, part: string): NodeProto =>
  graph.node.find((node) => node.name.includes(part))!;
const outputOf = (model: OnnxModel, part: string): string => nodeNamed(model, part).output[0]!;
const weightNamed = ({ graph }: OnnxModel, part: string): TensorProto =>
  graph.initializer.find((tensor) => tensor.name.includes(part))!;

function setInt(node: NodeProto, name: string, value: number): void {
  node.attribute = [...node.attribute.filter((attribute) => attribute.name !== name), intOf(name, value)];
}

const projection = 'layers.1/attn/q_proj';

export const hostileChanges: readonly HostileChange[] = [
  {
    what: 'a node that depends on its own output',
    code: 'bad-model',
    spoil: (model) =>
      void (nodeNamed(model, 'layers.1/mlp/gate_proj').input[0] = outputOf(model, 'layers.1/mlp/down_proj')),
  },
  {
    what: 'a node that reads a value nothing makes',
    code: 'bad-model',
    spoil: (model) => void (nodeNamed(model, projection).input[0] = 'nowhere'),
  },
  {
    what: 'an output that nothing makes',
    code: 'bad-model',
    spoil: ({ graph }) => void (graph.output[0]!.name = 'nowhere'),
  },
  {
    what: 'a value made twice',
    code: 'bad-model',
    spoil: (model) => model.graph.node.push(nodeNamed(model, projection)),
  },
  {
    what: 'two weights of one name',
    code: 'bad-model',
    spoil: ({ graph }) => graph.initializer.push(graph.initializer[0]!),
  },
  {
    what: 'a weight without a name',
    code: 'bad-model',
    spoil: ({ graph }) => void (graph.initializer[0]!.name = ''),
  },
  {
    what: 'a value with a reserved name',
    code: 'bad-model',
    spoil: (model) => void nodeNamed(model, projection).output.push('chorus/hidden_in'),
  },
  {
    what: 'a weight with a negative dimension',
    code: 'bad-model',
    spoil: (model) => void (weightNamed(model, 'q_proj').dims[0] = -1n),
  },
  {
    what: 'a weight whose dimensions multiply beyond any memory',
    code: 'bad-model',
    spoil: (model) => void (weightNamed(model, 'q_proj').dims = [2n ** 31n, 2n ** 31n, 2n ** 31n]),
  },
  {
    what: 'a weight of nine dimensions',
    code: 'bad-model',
    spoil: (model) => weightNamed(model, 'q_proj').dims.push(1n, 1n, 1n, 1n, 1n, 1n),
  },
  {
    what: 'a weight with fewer bytes than its shape says',
    code: 'bad-model',
    spoil: (model) => {
      const weight = weightNamed(model, 'q_proj');
      weight.rawData = weight.rawData.subarray(1);
    },
  },
  {
    what: 'a weight of strings',
    code: 'unsupported-model',
    spoil: (model) => void (weightNamed(model, 'q_proj').dataType = 8),
  },
  {
    what: 'a projection of more rows than its weight has',
    code: 'bad-model',
    spoil: (model) => setInt(nodeNamed(model, projection), 'N', 1_000_000),
  },
  {
    what: 'a projection in blocks of no columns',
    code: 'unsupported-model',
    spoil: (model) => setInt(nodeNamed(model, projection), 'block_size', 0),
  },
  {
    what: 'a projection of three bits',
    code: 'unsupported-model',
    spoil: (model) => setInt(nodeNamed(model, projection), 'bits', 3),
  },
  {
    what: 'an attention of no heads',
    code: 'bad-model',
    spoil: (model) => setInt(nodeNamed(model, 'layers.0/attn/GroupQueryAttention'), 'num_heads', 0),
  },
  {
    what: 'a layer of other heads than the first',
    code: 'unsupported-model',
    spoil: (model) => setInt(nodeNamed(model, 'layers.1/attn/GroupQueryAttention'), 'num_heads', 6),
  },
  {
    what: 'an attribute of the wrong kind',
    code: 'bad-model',
    spoil: (model) => void (nodeNamed(model, 'layers.0/attn/GroupQueryAttention').attribute[0]!.type = 3),
  },
  {
    what: 'an operator that no backend is known to run',
    code: 'unsupported-model',
    spoil: (model) => void (nodeNamed(model, 'act_fn/Sigmoid').opType = 'LSTM'),
  },
  {
    what: 'a known operator of an unknown domain',
    code: 'unsupported-model',
    spoil: (model) => void (nodeNamed(model, 'act_fn/Sigmoid').domain = 'evil.example'),
  },
  {
    what: 'a node with a subgraph',
    code: 'unsupported-model',
    spoil: (model) => {
      const attribute = create(AttributeProtoSchema, { name: 'body', type: 5, g: create(GraphProtoSchema, {}) });
      nodeNamed(model, 'act_fn/Sigmoid').attribute.push(attribute);
    },
  },
  {
    what: 'a function of its own',
    code: 'unsupported-model',
    spoil: (model) => model.functions.push(create(FunctionProtoSchema, { name: 'f' })),
  },
  {
    what: 'an input of unknown meaning',
    code: 'unsupported-model',
    spoil: ({ graph }) => graph.input.push(create(ValueInfoProtoSchema, { name: 'pixel_values' })),
  },
  {
    what: 'no attention at all',
    code: 'unsupported-model',
    spoil: ({ graph }) => {
      graph.node = graph.node.filter((node) => node.opType === 'Cast' || node.opType === 'Shape');
      graph.node = [
        create(NodeProtoSchema, {
          opType: 'Cast',
          input: ['input_ids'],
          output: ['logits'],
          attribute: [intOf('to', 1)],
        }),
      ];
      graph.output = graph.output.slice(0, 1);
    },
  },
  {
    what: 'a layer that also reads the values of another layer',
    code: 'unsupported-model',
    spoil: (model) => void (nodeNamed(model, 'layers.1/mlp/Mul').input[1] = outputOf(model, 'layers.0/mlp/up_proj')),
  },
  {
    what: 'a bias on the residual stream',
    code: 'unsupported-model',
    spoil: (model) => {
      const norm = nodeNamed(model, 'layers.1/input_layernorm');
      norm.input = [...norm.input.slice(0, 3), norm.input[2]!];
    },
  },
  {
    what: 'a graph deeper than any that is published',
    code: 'bad-model',
    spoil: (model) => {
      let graph = create(GraphProtoSchema, {});
      for (let depth = 0; depth < 40; depth++) {
        const attribute = [create(AttributeProtoSchema, { name: 'body', type: 5, g: graph })];
        graph = create(GraphProtoSchema, { node: [create(NodeProtoSchema, { attribute })] });
      }
      model.graph.node.push(...graph.node);
    },
  },
  {
    what: 'half a million nodes',
    code: 'bad-model',
    spoil: ({ graph }) => {
      const node = create(NodeProtoSchema, {});
      graph.node.push(...Array.from({ length: 100_000 }, () => node));
      graph.node = [...graph.node, ...graph.node, ...graph.node, ...graph.node, ...graph.node];
    },
  },
  {
    what: 'millions of numbers in protobuf fields',
    code: 'bad-model',
    spoil: (model) => void (weightNamed(model, 'cos_cache').int64Data = Array<bigint>(2_000_000).fill(1n)),
  },
];
