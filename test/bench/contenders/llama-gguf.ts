import type { NodeProto } from 'onnx-buf';
import { z } from 'zod';
import type { BlockMatrix } from '#shared/model/dequantize.ts';
import { encodeF16 } from '#shared/model/f16.ts';
import { quantizedWeight, readMatrix, toFloat32, weightFinder, weightKey } from '#shared/model/quantized-weights.ts';
import { type GraphFile, openGraphFile } from '../../../signal-server/import/graph-file.ts';
import { locateFolder, readInside, readModelFolder } from '../../../signal-server/import/model-folder.ts';
import { writeGguf, type GgufTensor, type GgufValue } from '../../support/write-gguf.ts';
import { letterVocabulary } from './prompt.ts';

const BLOCK = 32;

/** Of what holds 4 bits: as such, or each in a byte of its own, for which some have quicker code. */
export type GgufQuantization = 'Q4_0' | 'Q8_0';

/** The keys of config.json that a GGUF file repeats, with their defaults for models of this kind. */
const configSchema = z.object({
  model_type: z.literal('llama'),
  num_hidden_layers: z.int(),
  hidden_size: z.int(),
  num_attention_heads: z.int(),
  num_key_value_heads: z.int(),
  head_dim: z.int(),
  vocab_size: z.int(),
  max_position_embeddings: z.int(),
  rope_theta: z.number().default(10_000),
});
type Config = z.infer<typeof configSchema>;

/**
 * Writes a Llama model's q4 weights as a GGUF file. There too 32 of them share a scale, so the weights are the same but for scales,
 * which are rounded to half precision; what is float stays so. The vocabulary is invented (prompt.ts). Throws for models of
 * another kind.
 */
export async function writeLlamaGguf(
  modelFolder: string,
  graphPath: string,
  quantization: GgufQuantization,
  ggufPath: string,
): Promise<void> {
  const folder = await readModelFolder(await locateFolder(modelFolder));
  const json: unknown = JSON.parse(new TextDecoder().decode(await readInside(folder.path, 'config.json', 2 ** 20)));
  const config = configSchema.parse(json);
  const file = await openGraphFile(folder, graphPath);
  try {
    const weights = new LlamaWeights(file, config, quantization);
    await writeGguf(ggufPath, metadataOf(config, weights), weights.tensors());
  } finally {
    file.close();
  }
}

function metadataOf(config: Config, { epsilon, feedForward }: LlamaWeights): Record<string, GgufValue> {
  const names = letterVocabulary(config.vocab_size);
  return {
    'general.architecture': 'llama',
    'general.name': 'bench',
    'general.quantization_version': { u32: 2 },
    'llama.block_count': { u32: config.num_hidden_layers },
    'llama.context_length': { u32: config.max_position_embeddings },
    'llama.embedding_length': { u32: config.hidden_size },
    'llama.feed_forward_length': { u32: feedForward },
    'llama.attention.head_count': { u32: config.num_attention_heads },
    'llama.attention.head_count_kv': { u32: config.num_key_value_heads },
    'llama.attention.layer_norm_rms_epsilon': { f32: epsilon },
    'llama.rope.dimension_count': { u32: config.head_dim },
    'llama.rope.freq_base': { f32: config.rope_theta },
    'llama.vocab_size': { u32: config.vocab_size },
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': { strings: names },
    'tokenizer.ggml.token_type': { i32s: names.map(() => 1) },
    'tokenizer.ggml.merges': { strings: [] },
    'tokenizer.ggml.bos_token_id': { u32: 1 },
    'tokenizer.ggml.eos_token_id': { u32: 2 },
    'tokenizer.ggml.add_bos_token': false,
  };
}

/** The weights of a graph by the names that the model builder gives its nodes. */
class LlamaWeights {
  readonly #file: GraphFile;
  readonly #config: Config;
  readonly #quantization: GgufQuantization;
  readonly #nodes: ReadonlyMap<string, NodeProto>;
  readonly #find: ReturnType<typeof weightFinder>;

  constructor(file: GraphFile, config: Config, quantization: GgufQuantization) {
    this.#file = file;
    this.#config = config;
    this.#quantization = quantization;
    this.#nodes = new Map(file.model.graph.node.map((node) => [node.name.replace(/_Q4$/, ''), node]));
    this.#find = weightFinder(file.model.graph);
  }

  /** What the normalizations add to a mean square before they divide by its root. */
  get epsilon(): number {
    const [norm] = this.#file.model.graph.node.filter(({ opType }) => opType === 'SimplifiedLayerNormalization');
    return norm!.attribute.find(({ name }) => name === 'epsilon')!.f;
  }

  get feedForward(): number {
    return this.#weight('/model/layers.0/mlp/gate_proj/MatMul').rows;
  }

  tensors(): GgufTensor[] {
    const layers = Array.from({ length: this.#config.num_hidden_layers }, (_, i) => this.#layer(i));
    const last = `model.layers.${layers.length}.final_norm_layernorm.weight`;
    return [...this.#tables(), this.#vector('output_norm', last), ...layers.flat()];
  }

  /** The embedding, and the head where that has a table of its own. */
  #tables(): GgufTensor[] {
    const gather = this.#node('/model/embed_tokens/Gather');
    const head = this.#weight('/lm_head/MatMul');
    const output = this.#matrix('output', '/lm_head/MatMul');
    if (gather.opType === 'GatherBlockQuantized') {
      const isTied = weightKey(quantizedWeight(gather, this.#find)) === weightKey(head);
      if (!isTied) throw new Error('the embedding is quantized apart from the head');
      return [{ ...output, name: 'token_embd.weight' }];
    }
    const { hidden_size, vocab_size } = this.#config;
    return [this.#floats('token_embd', gather.input[0]!, [hidden_size, vocab_size]), output];
  }

  #layer(i: number): GgufTensor[] {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: size } = this.#config;
    const matrix = (to: string, from: string, order?: (row: number) => number): GgufTensor =>
      this.#matrix(`blk.${i}.${to}`, `/model/layers.${i}/${from}_proj/MatMul`, order);
    return [
      this.#vector(`blk.${i}.attn_norm`, `model.layers.${i}.input_layernorm.weight`),
      this.#vector(`blk.${i}.ffn_norm`, `model.layers.${i}.post_attention_layernorm.weight`),
      matrix('attn_q', 'attn/q', pairedRows(heads, size)),
      matrix('attn_k', 'attn/k', pairedRows(kvHeads, size)),
      matrix('attn_v', 'attn/v'),
      matrix('attn_output', 'attn/o'),
      ...(['gate', 'up', 'down'] as const).map((part) => matrix(`ffn_${part}`, `mlp/${part}`)),
    ];
  }

  #node(name: string): NodeProto {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`the graph has no node ${name}`);
    return node;
  }

  #weight(name: string): ReturnType<typeof quantizedWeight> {
    const weight = quantizedWeight(this.#node(name), this.#find);
    if (weight.bits !== 4 || weight.blockSize !== BLOCK || weight.zeroPoints !== null)
      throw new Error(`${name} is not of 4 bits in blocks of ${BLOCK} without zero points`);
    return weight;
  }

  #matrix(name: string, node: string, order = (row: number): number => row): GgufTensor {
    const weight = this.#weight(node);
    return {
      ...{ name: `${name}.weight`, dims: [weight.columns, weight.rows], type: this.#quantization },
      bytes: () => packers[this.#quantization](readMatrix(weight, this.#file.read), order),
    };
  }

  #vector(name: string, weight: string): GgufTensor {
    return this.#floats(name, weight, [this.#config.hidden_size]);
  }

  #floats(name: string, weight: string, dims: readonly number[]): GgufTensor {
    const tensor = this.#find(weight);
    if (tensor === undefined) throw new Error(`the graph has no weight ${weight}`);
    const bytes = (): Uint8Array => new Uint8Array(toFloat32(tensor, this.#file.read).buffer);
    return { name: `${name}.weight`, dims, type: 'F32', bytes };
  }
}

/** llama.cpp rotates neighbouring rows of a head together, ONNX a row of its first half with one of its second. */
function pairedRows(heads: number, size: number): (row: number) => number {
  const rows = Array.from({ length: heads * size }, (_, row) => {
    const within = row % size;
    return row - within + (within % 2) * (size / 2) + Math.floor(within / 2);
  });
  return (row) => rows[row]!;
}

type Pack = (matrix: BlockMatrix, order: (row: number) => number) => Uint8Array;

/** Blocks of a matrix one after another, with its rows in another order: each has its scale, then what `pack` makes of 32 numbers. */
function packBlocks(
  bytes: number,
  pack: (quants: Uint8Array, from: number, target: Uint8Array, to: number) => void,
): Pack {
  return ({ rows, columns, quants, scales }, order) => {
    const blocks = columns / BLOCK;
    const halves = encodeF16(scales);
    const packed = new Uint8Array(rows * blocks * (2 + bytes));
    let at = 0;
    for (let row = 0; row < rows; row++) {
      const first = order(row) * blocks;
      for (let block = first; block < first + blocks; block++, at += 2 + bytes) {
        packed[at] = halves[2 * block]!;
        packed[at + 1] = halves[2 * block + 1]!;
        pack(quants, (block * BLOCK) / 2, packed, at + 2);
      }
    }
    return packed;
  };
}

const packers: Readonly<Record<GgufQuantization, Pack>> = {
  /** Number i shares a byte with number i + 16, where MatMulNBits has neighbours share one. */
  Q4_0: packBlocks(BLOCK / 2, (quants, from, target, to) => {
    for (let i = 0; i < BLOCK / 4; i++) {
      const low = quants[from + i]!;
      const high = quants[from + BLOCK / 4 + i]!;
      target[to + 2 * i] = (low & 15) | ((high & 15) << 4);
      target[to + 2 * i + 1] = (low >>> 4) | (high & 0xf0);
    }
  }),
  /** Two's complement, without the offset that 4 bits have. */
  Q8_0: packBlocks(BLOCK, (quants, from, target, to) => {
    for (let i = 0; i < BLOCK / 2; i++) {
      const pair = quants[from + i]!;
      target[to + 2 * i] = (pair & 15) - 8;
      target[to + 2 * i + 1] = (pair >>> 4) - 8;
    }
  }),
};
