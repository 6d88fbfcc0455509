import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  ValueInfoProtoSchema,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import { externalTensor } from '#shared/model/fold.ts';
import { encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import { createRandom, floatBytes, quantizeBlocks, randomValues } from './synthetic-weights.ts';

/** The differences between the builder family's exports. */
export interface SyntheticShape {
  readonly name: string;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly positions: number;
  readonly type: 'float32' | 'float16';
  readonly quant: { readonly bits: 4 | 8; readonly blockSize: number; readonly withZeroPoints: boolean } | null;
  readonly accuracyLevel?: number;
  readonly packedQkv: boolean;
  readonly qkNorm: boolean;
  /** External: RotaryEmbedding nodes fed by `position_ids`, reshaped as `input_ids` are. */
  readonly rotary: 'built-in' | 'external';
  /** How embedding and head share a table. */
  readonly tied: 'no' | 'transposed' | 'quantized';
  /** Files beside the graph that hold the larger weights. */
  readonly dataFiles: 0 | 1 | 2;
  /** The part of the file's name after `model`. */
  readonly suffix: string;
}

const smol: SyntheticShape = {
  ...{ name: 'smollm2', layers: 4, hidden: 96, heads: 3, kvHeads: 1, headSize: 32, intermediate: 128, vocabulary: 160 },
  ...{
    positions: 128,
    type: 'float32',
    quant: null,
    packedQkv: false,
    qkNorm: false,
    rotary: 'built-in',
    tied: 'transposed',
  },
  ...{ dataFiles: 0, suffix: '' },
} as const;
const q4 = { bits: 4, blockSize: 32, withZeroPoints: false } as const;

/** Few layers and small widths of models that people publish. */
export const syntheticShapes = {
  smolFp32: smol,
  smolPackedQ4f16: { ...smol, type: 'float16', quant: q4, packedQkv: true, suffix: '_q4f16', dataFiles: 1 },
  smolQ4ZeroPoints: { ...smol, quant: { ...q4, withZeroPoints: true }, accuracyLevel: 4, suffix: '_q4' },
  smolQ8: { ...smol, quant: { bits: 8, blockSize: 32, withZeroPoints: true }, tied: 'no', suffix: '_q8' },
  qwenFp16: {
    ...{ ...smol, name: 'qwen3', hidden: 64, heads: 4, kvHeads: 2, headSize: 32, type: 'float16', suffix: '_fp16' },
    ...{ qkNorm: true, rotary: 'external' },
  },
  qwenQ4f16: {
    ...{ ...smol, name: 'qwen3', hidden: 64, heads: 4, kvHeads: 2, headSize: 32, type: 'float16', suffix: '_q4f16' },
    ...{ qkNorm: true, rotary: 'external', quant: q4 },
  },
  llamaQ4: {
    ...{ ...smol, name: 'llama-3.2', layers: 3, hidden: 64, heads: 4, kvHeads: 2, headSize: 16, suffix: '_q4' },
    ...{ quant: q4, tied: 'quantized', dataFiles: 2 },
  },
  llamaQ8: {
    ...{ ...smol, name: 'llama-3.2', layers: 3, hidden: 64, heads: 4, kvHeads: 2, headSize: 16, suffix: '_q8' },
    ...{ quant: { bits: 8, blockSize: 32, withZeroPoints: true }, tied: 'quantized' },
  },
} as const satisfies Record<string, SyntheticShape>;

type Attributes = Readonly<Record<string, number | { float: number } | readonly number[]>>;

/** Builds a graph node by node, as the model builder names them. */
class GraphBuilder {
  readonly nodes: NodeProto[] = [];
  readonly weights: TensorProto[] = [];
  readonly #shape: SyntheticShape;
  readonly #random = createRandom(7);

  constructor(shape: SyntheticShape) {
    this.#shape = shape;
  }

  node(
    opType: string,
    name: string,
    input: string[],
    attributes: Attributes = {},
    output = [`${name}/output_0`],
  ): string {
    const contrib = ['MatMulNBits', 'GroupQueryAttention', 'RotaryEmbedding', 'GatherBlockQuantized'].includes(opType);
    const domain = contrib || opType.startsWith('Skip') ? 'com.microsoft' : '';
    const attribute = Object.entries(attributes).map(([key, value]) => {
      if (typeof value === 'number')
        return create(AttributeProtoSchema, { name: key, type: Kind.INT, i: BigInt(value) });
      if ('float' in value) return create(AttributeProtoSchema, { name: key, type: Kind.FLOAT, f: value.float });
      return create(AttributeProtoSchema, { name: key, type: Kind.INTS, ints: value.map(BigInt) });
    });
    this.nodes.push(create(NodeProtoSchema, { opType, domain, name, input, output, attribute }));
    return output[0] ?? '';
  }

  raw(name: string, dataType: number, dims: readonly number[], rawData: Uint8Array<ArrayBuffer>): string {
    this.weights.push(create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData }));
    return name;
  }

  ints(name: string, values: readonly number[], dims: readonly number[] = [values.length]): string {
    if (this.weights.some((tensor) => tensor.name === name)) return name;
    return this.raw(name, 7, dims, new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
  }

  floats(name: string, dims: readonly number[], values: Float32Array): string {
    return this.raw(name, this.#shape.type === 'float16' ? 10 : 1, dims, floatBytes(values, this.#shape.type));
  }

  random(rows: number, columns: number, deviation: number): Float32Array<ArrayBuffer> {
    return randomValues(this.#random, rows * columns, deviation);
  }

  norm(name: string, size: number): string {
    const values = randomValues(this.#random, size, 0.1).map((value) => value + 1);
    return this.floats(name, [size], values);
  }

  /** y = x · wᵀ with a new weight of [rows, columns]. */
  linear(name: string, input: string, rows: number, columns: number, output?: string[]): string {
    const values = this.random(rows, columns, 1 / Math.sqrt(columns));
    const weight = `${name.slice(1).replaceAll('/', '.')}.weight`;
    if (this.#shape.quant)
      return this.quantizedLinear(name, input, this.quantized(weight, values, rows), rows, columns, output);
    const transposed = new Float32Array(values.length);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++)
        transposed[column * rows + row] = values[row * columns + column]!;
    }
    return this.node('MatMul', name, [input, this.floats(weight, [columns, rows], transposed)], {}, output);
  }

  quantized(name: string, values: Float32Array, rows: number): string[] {
    const { bits, blockSize, withZeroPoints } = this.#shape.quant!;
    const blocks = values.length / rows / blockSize;
    const { quants, scales, zeroPoints } = quantizeBlocks(values, rows, { bits, blockSize, withZeroPoints });
    const names = [
      this.raw(`${name}_Q${bits}`, 2, [rows, blocks, (blockSize * bits) / 8], quants),
      this.floats(`${name}_scales`, [rows * blocks], scales),
    ];
    return zeroPoints ? [...names, this.raw(`${name}_zp`, 2, [zeroPoints.length], zeroPoints)] : names;
  }

  quantizedLinear(
    name: string,
    input: string,
    weight: readonly string[],
    rows: number,
    columns: number,
    output?: string[],
  ): string {
    const { bits, blockSize } = this.#shape.quant!;
    const level = this.#shape.accuracyLevel;
    const attributes = {
      N: rows,
      K: columns,
      bits,
      block_size: blockSize,
      ...(level !== undefined && { accuracy_level: level }),
    };
    return this.node('MatMulNBits', `${name}_Q${bits}`, [input, ...weight], attributes, output ?? [`${name}/output_0`]);
  }
}

function addMask(graph: GraphBuilder): { lengths: string; total: string } {
  const base = '/model/attn_mask_reformat/attn_mask_subgraph';
  const one = graph.ints('/model/constants/INT64/[1]', [1]);
  const count = graph.node('ReduceSum', `${base}/ReduceSum`, ['attention_mask', one], { keepdims: 0 });
  const lengths = graph.node('Cast', `${base}/Sub/Cast`, [graph.node('Sub', `${base}/Sub`, [count, one])], { to: 6 });
  const shape = graph.node('Shape', `${base}/Shape`, ['attention_mask']);
  const size = graph.node('Gather', `${base}/Gather`, [shape, graph.ints('/model/constants/INT64/1', [1], [])], {
    axis: 0,
  });
  return { lengths, total: graph.node('Cast', `${base}/Gather/Cast`, [size], { to: 6 }) };
}

function addPositions(graph: GraphBuilder): string {
  const base = '/model/pos_ids_reformat';
  const shape = graph.node('Shape', `${base}/Shape`, ['input_ids']);
  const index = graph.ints('/model/constants/INT64/1', [1], []);
  const length = graph.node('Gather', `${base}/Gather`, [shape, index], { axis: 0 });
  const axis = graph.ints('/model/constants/INT64/[0]', [0]);
  const unsqueezed = graph.node('Unsqueeze', `${base}/Unsqueeze`, [length, axis]);
  const rest = graph.ints('/model/constants/INT64/[-1]', [-1]);
  const target = graph.node('Concat', `${base}/Concat`, [rest, unsqueezed], { axis: 0 });
  return graph.node('Reshape', `${base}/Reshape`, ['position_ids', target]);
}

function addEmbedding(graph: GraphBuilder, shape: SyntheticShape): { rows: string; table: string[] } {
  const { vocabulary, hidden, quant, tied } = shape;
  // Small beside what the layers add: otherwise a tied head would always name the token it just read.
  const values = graph.random(vocabulary, hidden, 0.1);
  if (tied !== 'quantized') {
    const table = graph.floats('model.embed_tokens.weight', [vocabulary, hidden], values);
    return { rows: graph.node('Gather', '/model/embed_tokens/Gather', [table, 'input_ids']), table: [table] };
  }
  const { bits, blockSize } = quant!;
  const table = graph.quantized('lm_head.MatMul.weight', values, vocabulary);
  const flat = graph.ints('/model/constants/INT64/[table]', [vocabulary, (hidden * bits) / 8]);
  const reshaped = graph.node('Reshape', '/model/embed_tokens/Reshape', [table[0]!, flat]);
  const blocks = graph.ints('/model/constants/INT64/[scales]', [vocabulary, hidden / blockSize]);
  const scales = graph.node('Reshape', '/model/embed_tokens/scales/Reshape', [table[1]!, blocks]);
  const zeroDims = () =>
    graph.ints('/model/constants/INT64/[zeros]', [vocabulary, Math.ceil((hidden / blockSize) * (bits / 8))]);
  const more = table[2] ? [graph.node('Reshape', '/model/embed_tokens/zeros/Reshape', [table[2], zeroDims()])] : [];
  const attributes = { bits, block_size: blockSize, gather_axis: 0, quantize_axis: 1 };
  return {
    rows: graph.node(
      'GatherBlockQuantized',
      '/model/embed_tokens/Gather',
      [reshaped, 'input_ids', scales, ...more],
      attributes,
    ),
    table,
  };
}

function addRotaryCaches(graph: GraphBuilder, { positions, headSize }: SyntheticShape): [string, string] {
  const half = headSize / 2;
  const angle = (i: number) => Math.floor(i / half) / 10_000 ** ((i % half) / half);
  const cos = Float32Array.from({ length: positions * half }, (_, i) => Math.cos(angle(i)));
  const sin = Float32Array.from({ length: positions * half }, (_, i) => Math.sin(angle(i)));
  return [graph.floats('cos_cache', [positions, half], cos), graph.floats('sin_cache', [positions, half], sin)];
}

const epsilon = { epsilon: { float: 1e-5 } };
const plainNorm = { axis: -1, stash_type: 1, ...epsilon };

/** One model of the shape, with weights inside. */
export function buildSyntheticModel(shape: SyntheticShape): OnnxModel {
  const graph = new GraphBuilder(shape);
  const { layers, hidden, heads, kvHeads, headSize, intermediate, vocabulary, type, rotary } = shape;
  const { lengths, total } = addMask(graph);
  const caches = addRotaryCaches(graph, shape);
  const positions = rotary === 'external' ? addPositions(graph) : '';
  const embedded = addEmbedding(graph, shape);
  let root = embedded.rows;
  let branch = '';

  const skipNorm = (name: string, weight: string, outputs: string[]): string => {
    const full = `${name}/SkipLayerNorm`;
    const normed = graph.node('SkipSimplifiedLayerNormalization', full, [root, branch, weight], epsilon, outputs);
    root = outputs[3] ?? '';
    return normed;
  };
  const skipOutputs = (name: string) => [`${name}/output_0`, '', '', `${name}/output_3`];
  const headNorm = (name: string, input: string): string => {
    const wide = graph.node('Reshape', `${name}/Reshape_1`, [input, graph.ints(`${name}/shape_1`, [0, -1, headSize])]);
    const weight = graph.norm(`${name}.weight`, headSize);
    const normed = graph.node('SimplifiedLayerNormalization', `${name}/LayerNorm`, [wide, weight], plainNorm);
    const count = name.includes('q_norm') ? heads : kvHeads;
    return graph.node('Reshape', `${name}/Reshape_2`, [
      normed,
      graph.ints(`${name}/shape_2`, [0, -1, count * headSize]),
    ]);
  };

  for (let i = 0; i < layers; i++) {
    const p = `/model/layers.${i}`;
    const inputWeight = graph.norm(`model.layers.${i}.input_layernorm.weight`, hidden);
    const normed =
      i === 0
        ? graph.node('SimplifiedLayerNormalization', `${p}/input_layernorm/LayerNorm`, [root, inputWeight], plainNorm)
        : skipNorm(`${p}/input_layernorm`, inputWeight, skipOutputs(`${p}/input_layernorm`));
    let qkv: string[];
    if (shape.packedQkv) {
      qkv = [graph.linear(`${p}/attn/qkv_proj/MatMul`, normed, (heads + 2 * kvHeads) * headSize, hidden), '', ''];
    } else {
      const [q, k, v] = (['q', 'k', 'v'] as const).map((part) =>
        graph.linear(`${p}/attn/${part}_proj/MatMul`, normed, (part === 'q' ? heads : kvHeads) * headSize, hidden),
      );
      qkv = [q!, k!, v!];
    }
    if (shape.qkNorm) qkv = [headNorm(`${p}/attn/q_norm`, qkv[0]!), headNorm(`${p}/attn/k_norm`, qkv[1]!), qkv[2]!];
    if (rotary === 'external') {
      const rotate = (part: 'q' | 'k', input: string) =>
        graph.node('RotaryEmbedding', `${p}/attn/${part}_rotary/RotaryEmbedding`, [input, positions, ...caches], {
          ...{ interleaved: 0, num_heads: part === 'q' ? heads : kvHeads, rotary_embedding_dim: headSize },
        });
      qkv = [rotate('q', qkv[0]!), rotate('k', qkv[1]!), qkv[2]!];
    }
    const attention = `${p}/attn/GroupQueryAttention`;
    const attended = graph.node(
      'GroupQueryAttention',
      attention,
      [
        ...qkv,
        `past_key_values.${i}.key`,
        `past_key_values.${i}.value`,
        lengths,
        total,
        ...(rotary === 'built-in' ? caches : []),
      ],
      {
        ...{ num_heads: heads, kv_num_heads: kvHeads, scale: { float: headSize ** -0.5 } },
        ...{ do_rotary: rotary === 'built-in' ? 1 : 0, rotary_interleaved: 0 },
      },
      [`${attention}/output_0`, `present.${i}.key`, `present.${i}.value`],
    );
    branch = graph.linear(`${p}/attn/o_proj/MatMul`, attended, hidden, heads * headSize);
    const post = `${p}/post_attention_layernorm`;
    const middle = skipNorm(
      post,
      graph.norm(`model.layers.${i}.post_attention_layernorm.weight`, hidden),
      skipOutputs(post),
    );
    const gate = graph.linear(`${p}/mlp/gate_proj/MatMul`, middle, intermediate, hidden);
    const up = graph.linear(`${p}/mlp/up_proj/MatMul`, middle, intermediate, hidden);
    const sigmoid = graph.node('Sigmoid', `${p}/mlp/act_fn/Sigmoid`, [gate]);
    const activated = graph.node('Mul', `${p}/mlp/act_fn/Mul`, [gate, sigmoid]);
    branch = graph.linear(
      `${p}/mlp/down_proj/MatMul`,
      graph.node('Mul', `${p}/mlp/Mul`, [activated, up]),
      hidden,
      intermediate,
    );
  }

  const finalName = `/model/layers.${layers}/final_norm_layernorm`;
  const finalWeight = graph.norm(`model.layers.${layers}.final_norm_layernorm.weight`, hidden);
  const last = skipNorm(finalName, finalWeight, [`${finalName}/output_0`]);
  const isCast = type === 'float16';
  const logits = [isCast ? '/lm_head/MatMul/output_0' : 'logits'];
  if (shape.tied === 'transposed') {
    const turned = graph.node('Transpose', '/lm_head/Transpose', embedded.table, { perm: [1, 0] });
    graph.node('MatMul', '/lm_head/MatMul', [last, turned], {}, logits);
  } else if (shape.tied === 'quantized') {
    graph.quantizedLinear('/lm_head/MatMul', last, embedded.table, vocabulary, hidden, logits);
  } else {
    graph.linear('/lm_head/MatMul', last, vocabulary, hidden, logits);
  }
  if (isCast) graph.node('Cast', '/lm_head/Cast', logits, { to: 1 }, ['logits']);
  return assemble(graph, shape);
}

function assemble(graph: GraphBuilder, shape: SyntheticShape): OnnxModel {
  const kvType = shape.type === 'float16' ? 10 : 1;
  const info = (name: string, elemType: number, dims: readonly (string | number)[]) =>
    create(ValueInfoProtoSchema, {
      name,
      type: {
        value: {
          case: 'tensorType',
          value: {
            elemType,
            shape: {
              dim: dims.map((size) => ({
                value:
                  typeof size === 'number'
                    ? { case: 'dimValue' as const, value: BigInt(size) }
                    : { case: 'dimParam' as const, value: size },
              })),
            },
          },
        },
      },
    });
  const sequence = ['batch_size', 'sequence_length'];
  const kv = (prefix: string, length: string) =>
    Array.from({ length: shape.layers }, (_, i) => ['key', 'value'].map((part) => `${prefix}.${i}.${part}`))
      .flat()
      .map((name) => info(name, kvType, ['batch_size', shape.kvHeads, length, shape.headSize]));
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [
      { domain: '', version: 21n },
      { domain: 'com.microsoft', version: 1n },
    ],
    producerName: 'synthetic',
    graph: {
      name: 'main_graph',
      node: graph.nodes,
      initializer: graph.weights,
      input: [
        info('input_ids', 7, sequence),
        info('attention_mask', 7, ['batch_size', 'total_sequence_length']),
        ...(shape.rotary === 'external' ? [info('position_ids', 7, sequence)] : []),
        ...kv('past_key_values', 'past_sequence_length'),
      ],
      output: [info('logits', 1, [...sequence, shape.vocabulary]), ...kv('present', 'total_sequence_length')],
    },
  });
  return Object.assign(model, { graph: model.graph! });
}

/** Writes a Hugging Face style folder around the model; its tokenizer knows nothing. */
export async function writeSyntheticFolder(
  path: string,
  shape: SyntheticShape,
  model = buildSyntheticModel(shape),
): Promise<void> {
  await mkdir(join(path, 'onnx'), { recursive: true });
  const file = `model${shape.suffix}.onnx`;
  await moveWeights(model, join(path, 'onnx'), file, shape.dataFiles);
  const config = {
    ...{
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      num_hidden_layers: shape.layers,
      hidden_size: shape.hidden,
    },
    ...{ vocab_size: shape.vocabulary, num_attention_heads: shape.heads, num_key_value_heads: shape.kvHeads },
    ...{ head_dim: shape.headSize, max_position_embeddings: shape.positions, tie_word_embeddings: shape.tied !== 'no' },
    eos_token_id: 0,
  };
  await Promise.all([
    writeFile(join(path, 'onnx', file), encodeModel(model)),
    writeFile(join(path, 'config.json'), JSON.stringify(config)),
    writeFile(join(path, 'tokenizer.json'), '{}'),
    writeFile(join(path, 'tokenizer_config.json'), '{}'),
    writeFile(join(path, 'README.md'), '---\nlicense: mit\n---\n\n# A synthetic model\n\nNumbers without meaning.\n'),
  ]);
}

/** Takes weights out of the graph into `files` files by turns. */
async function moveWeights({ graph }: OnnxModel, folder: string, file: string, files: number): Promise<void> {
  const data: Uint8Array[][] = Array.from({ length: files }, () => []);
  const lengths = data.map(() => 0);
  graph.initializer = graph.initializer.map((tensor, i) => {
    if (files === 0 || tensor.rawData.length < 256) return tensor;
    const at = i % files;
    const { name, dataType, dims, rawData } = tensor;
    const moved = externalTensor(name, dataType, dims.map(Number), dataName(file, at), lengths[at]!, rawData.length);
    data[at]!.push(rawData);
    lengths[at]! += rawData.length;
    return moved;
  });
  await Promise.all(data.map((parts, at) => writeFile(join(folder, dataName(file, at)), Buffer.concat(parts))));
}

function dataName(file: string, at: number): string {
  return at === 0 ? `${file}_data` : `${file}_data_${at}`;
}
