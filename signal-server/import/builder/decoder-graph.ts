import { ATTENTION_MASK, LOGITS, TOKENS } from '#shared/model/anatomy.ts';
import { GGUF_BLOCKS } from '#shared/model/gguf-weight.ts';
import { tensorInfo } from '#shared/model/stage-graph.ts';
import { ONNX_FLOAT16, ONNX_FLOAT32, ONNX_INT64 } from '#shared/model/tensor-bytes.ts';
import {
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  type DecoderShape,
  type DecoderWeights,
  type MatrixWeight,
  type PackedBits,
} from './decoder-shape.ts';
import { GraphWriter, type WrittenGraph } from './graph-writer.ts';

const ONNX_UINT8 = 2;
const ONNX_INT32 = 6;
const BLOCK = 32;

/**
 * The graph of a llama-like decoder as the onnxruntime-genai model builder writes it, so that all that is done with published
 * graphs is done with this one. Throws `bad-model` for a weight that is missing or of another size.
 */
export function buildDecoder(shape: DecoderShape, weights: DecoderWeights): WrittenGraph {
  return new DecoderBuilder(shape, weights).build();
}

/** A matrix's tensors in the graph. */
interface PlacedMatrix {
  readonly weight: MatrixWeight;
  readonly names: readonly string[];
}

class DecoderBuilder {
  readonly #shape: DecoderShape;
  readonly #weights: DecoderWeights;
  readonly #graph = new GraphWriter();

  constructor(shape: DecoderShape, weights: DecoderWeights) {
    this.#shape = shape;
    this.#weights = weights;
  }

  build(): WrittenGraph {
    const { layers, hiddenSize, vocabularySize, kvHeads, headSize } = this.#shape;
    const graph = this.#graph;
    const table = this.#place(EMBEDDING, vocabularySize, hiddenSize);
    let rows = this.#embed(table);
    const shared = [...this.#lengths(), ...this.#angles()];
    for (let layer = 0; layer < layers; layer++) rows = this.#layer(layer, rows, shared);
    const normed = this.#norm(`/model/layers.${layers}/final_norm_layernorm`, FINAL_NORM, rows);
    const head = this.#weights.has(HEAD) ? this.#place(HEAD, vocabularySize, hiddenSize) : table;
    this.#multiply('/lm_head/MatMul', head, normed, [LOGITS]);

    const sequence = ['batch_size', 'sequence_length'];
    const kv = (prefix: string, length: string) =>
      Array.from({ length: layers }, (_, i) => ['key', 'value'].map((part) => `${prefix}.${i}.${part}`))
        .flat()
        .map((name) => tensorInfo(name, ONNX_FLOAT32, ['batch_size', kvHeads, length, headSize]));
    return graph.finish(
      [
        tensorInfo(TOKENS, ONNX_INT64, sequence),
        tensorInfo(ATTENTION_MASK, ONNX_INT64, ['batch_size', 'total_sequence_length']),
        ...kv('past_key_values', 'past_sequence_length'),
      ],
      [tensorInfo(LOGITS, ONNX_FLOAT32, [...sequence, vocabularySize]), ...kv('present', 'total_sequence_length')],
    );
  }

  #layer(layer: number, input: string, shared: readonly string[]): string {
    const { hiddenSize, feedForward, heads, kvHeads, headSize, hasHeadNorms } = this.#shape;
    const graph = this.#graph;
    const [node, weight] = [`/model/layers.${layer}`, `model.layers.${layer}`];
    const normed = this.#norm(`${node}/input_layernorm`, `${weight}.input_layernorm.weight`, input);
    const [query, key, value] = (['q', 'k', 'v'] as const).map((part) => {
      const count = part === 'q' ? heads : kvHeads;
      const name = `${weight}.self_attn.${part}_proj`;
      const rows = this.#linear(`${node}/attn/${part}_proj`, name, count * headSize, hiddenSize, normed);
      const isNormed = hasHeadNorms && part !== 'v';
      return isNormed
        ? this.#headNorm(`${node}/attn/${part}_norm`, `${weight}.self_attn.${part}_norm.weight`, rows, count)
        : rows;
    }) as [string, string, string];
    const [lengths = '', total = '', cosines = '', sines = ''] = shared;
    const past = ['key', 'value'].map((part) => `past_key_values.${layer}.${part}`);
    const attention = `${node}/attn/GroupQueryAttention`;
    const attended = graph.node(
      'GroupQueryAttention',
      attention,
      [query, key, value, ...past, lengths, total, cosines, sines],
      {
        ...{ num_heads: heads, kv_num_heads: kvHeads, scale: { float: headSize ** -0.5 } },
        ...{ do_rotary: 1, rotary_interleaved: 0 },
      },
      [`${attention}/output_0`, `present.${layer}.key`, `present.${layer}.value`],
    );
    const projected = this.#linear(
      `${node}/attn/o_proj`,
      `${weight}.self_attn.o_proj`,
      hiddenSize,
      heads * headSize,
      attended,
    );
    const middle = graph.node('Add', `${node}/attn/Add`, [input, projected]);
    const second = this.#norm(`${node}/post_attention_layernorm`, `${weight}.post_attention_layernorm.weight`, middle);
    const gate = this.#linear(`${node}/mlp/gate_proj`, `${weight}.mlp.gate_proj`, feedForward, hiddenSize, second);
    const up = this.#linear(`${node}/mlp/up_proj`, `${weight}.mlp.up_proj`, feedForward, hiddenSize, second);
    const sigmoid = graph.node('Sigmoid', `${node}/mlp/act_fn/Sigmoid`, [gate]);
    const active = graph.node('Mul', `${node}/mlp/act_fn/Mul`, [gate, sigmoid]);
    const inner = graph.node('Mul', `${node}/mlp/Mul`, [active, up]);
    const down = this.#linear(`${node}/mlp/down_proj`, `${weight}.mlp.down_proj`, hiddenSize, feedForward, inner);
    return graph.node('Add', `${node}/mlp/Add`, [middle, down]);
  }

  /** Lengths of the cache, from the mask. */
  #lengths(): [lengths: string, total: string] {
    const graph = this.#graph;
    const base = '/model/attn_mask_reformat/attn_mask_subgraph';
    const one = graph.ints([1]);
    const count = graph.node('ReduceSum', `${base}/ReduceSum`, [ATTENTION_MASK, one], { keepdims: 0 });
    const last = graph.node('Sub', `${base}/Sub`, [count, one]);
    const size = graph.node(
      'Gather',
      `${base}/Gather`,
      [graph.node('Shape', `${base}/Shape`, [ATTENTION_MASK]), graph.ints([1], true)],
      { axis: 0 },
    );
    return [
      graph.node('Cast', `${base}/Sub/Cast`, [last], { to: ONNX_INT32 }),
      graph.node('Cast', `${base}/Gather/Cast`, [size], { to: ONNX_INT32 }),
    ];
  }

  #angles(): [cosines: string, sines: string] {
    const { positions, headSize, ropeBase, ropeFactors } = this.#shape;
    const half = headSize / 2;
    const speeds = Array.from({ length: half }, (_, i) => ropeBase ** ((-2 * i) / headSize) / (ropeFactors?.[i] ?? 1));
    const tableOf = (of: (angle: number) => number) => () =>
      new Uint8Array(
        Float32Array.from({ length: positions * half }, (_, i) => of(Math.floor(i / half) * speeds[i % half]!)).buffer,
      );
    return [
      this.#graph.weight('cos_cache', ONNX_FLOAT32, [positions, half], tableOf(Math.cos)),
      this.#graph.weight('sin_cache', ONNX_FLOAT32, [positions, half], tableOf(Math.sin)),
    ];
  }

  #norm(node: string, name: string, input: string): string {
    const scale = this.#vector(name, this.#shape.hiddenSize);
    return this.#graph.node(
      'SimplifiedLayerNormalization',
      `${node}/LayerNorm`,
      [input, scale],
      this.#normAttributes(),
    );
  }

  #headNorm(node: string, name: string, input: string, count: number): string {
    const { headSize } = this.#shape;
    const graph = this.#graph;
    const wide = graph.node('Reshape', `${node}/Reshape_1`, [input, graph.ints([0, 0, count, headSize])]);
    const scale = this.#vector(name, headSize);
    const normed = graph.node(
      'SimplifiedLayerNormalization',
      `${node}/LayerNorm`,
      [wide, scale],
      this.#normAttributes(),
    );
    return graph.node('Reshape', `${node}/Reshape_2`, [normed, graph.ints([0, 0, count * headSize])]);
  }

  #normAttributes() {
    return { axis: -1, stash_type: 1, epsilon: { float: this.#shape.epsilon } };
  }

  #vector(name: string, size: number): string {
    return this.#graph.weight(name, ONNX_FLOAT32, [size], this.#weights.vector(name, size));
  }

  /** A product, and its bias where there is one. */
  #linear(node: string, name: string, rows: number, columns: number, input: string): string {
    const product = this.#multiply(`${node}/MatMul`, this.#place(`${name}.weight`, rows, columns), input);
    const bias = `${name}.bias`;
    return this.#weights.has(bias)
      ? this.#graph.node('Add', `${node}/Add`, [product, this.#vector(bias, rows)])
      : product;
  }

  #place(name: string, rows: number, columns: number): PlacedMatrix {
    const graph = this.#graph;
    const weight = this.#weights.matrix(name, rows, columns);
    const { relativeError } = weight;
    switch (weight.form) {
      case 'float32':
      case 'float16': {
        const type = weight.form === 'float16' ? ONNX_FLOAT16 : ONNX_FLOAT32;
        return { weight, names: [graph.weight(name, type, [rows, columns], weight.read, relativeError)] };
      }
      case 'blocks': {
        const { type, read } = weight;
        const rowBytes = (columns / GGUF_BLOCKS[type].columns) * GGUF_BLOCKS[type].bytes;
        return { weight, names: [graph.weight(`${name}_${type}`, ONNX_UINT8, [rows, rowBytes], read, relativeError)] };
      }
      case 'bits': {
        const { bits } = weight;
        const blocks = columns / BLOCK;
        const read = readOnce(weight.read);
        const quants = () => read().quants;
        const scales = () => new Uint8Array(read().scales.buffer);
        return {
          weight,
          names: [
            graph.weight(`${name}_Q${bits}`, ONNX_UINT8, [rows, blocks, (BLOCK * bits) / 8], quants, relativeError),
            graph.weight(`${name}_scales`, ONNX_FLOAT32, [rows * blocks], scales),
          ],
        };
      }
    }
  }

  #embed({ weight, names }: PlacedMatrix): string {
    const graph = this.#graph;
    const [node, { rows, columns }] = ['/model/embed_tokens/Gather', weight];
    const [table = '', scales = ''] = names;
    switch (weight.form) {
      case 'float32':
        return graph.node('Gather', node, [table, TOKENS]);
      case 'float16':
        return graph.node('Cast', '/model/embed_tokens/Cast', [graph.node('Gather', node, [table, TOKENS])], {
          to: ONNX_FLOAT32,
        });
      case 'blocks':
        return graph.node('GgufGather', node, [table, TOKENS], { N: rows, K: columns, type: { text: weight.type } });
      case 'bits': {
        const { bits } = weight;
        const flat = graph.node('Reshape', '/model/embed_tokens/Reshape', [
          table,
          graph.ints([rows, (columns * bits) / 8]),
        ]);
        const byRow = graph.node('Reshape', '/model/embed_tokens/scales/Reshape', [
          scales,
          graph.ints([rows, columns / BLOCK]),
        ]);
        const attributes = { bits, block_size: BLOCK, gather_axis: 0, quantize_axis: 1 };
        return graph.node('GatherBlockQuantized', node, [flat, TOKENS, byRow], attributes);
      }
    }
  }

  #multiply(node: string, { weight, names }: PlacedMatrix, input: string, output?: readonly string[]): string {
    const graph = this.#graph;
    const { rows, columns } = weight;
    const [table = ''] = names;
    switch (weight.form) {
      case 'float32':
      case 'float16': {
        const floats =
          weight.form === 'float32' ? table : graph.node('Cast', `${node}/Cast`, [table], { to: ONNX_FLOAT32 });
        const turned = graph.node('Transpose', `${node}/Transpose`, [floats], { perm: [1, 0] });
        return graph.node('MatMul', node, [input, turned], {}, output);
      }
      case 'blocks':
        return graph.node(
          'GgufMatMul',
          node,
          [input, table],
          { N: rows, K: columns, type: { text: weight.type } },
          output,
        );
      case 'bits':
        return graph.node(
          'MatMulNBits',
          node,
          [input, ...names],
          { N: rows, K: columns, bits: weight.bits, block_size: BLOCK },
          output,
        );
    }
  }
}

/** Quants and scales are asked for one after the other. */
function readOnce(read: () => PackedBits): () => PackedBits {
  let held: PackedBits | null = null;
  return () => {
    const packed = held ?? read();
    held = held === null ? packed : null;
    return packed;
  };
}
