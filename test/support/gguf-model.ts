import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { GGUF_BLOCKS, isGgufType } from '#shared/model/gguf-weight.ts';
import type { DecoderShape } from '../../signal-server/import/builder/decoder-shape.ts';
import type { WeightNamed } from './decoder-reference.ts';
import { ggufWeights } from './gguf-oracle.ts';
import { randomBytes } from './random-matrices.ts';
import { createRandom, randomValues } from './synthetic-weights.ts';
import { type GgufTensor, type GgufTensorType, type GgufValue, writeGguf } from './write-gguf.ts';

type Architecture = 'llama' | 'qwen2' | 'qwen3';

/** A small model in a GGUF file, and what its weights are. */
export interface GgufModel {
  readonly shape: DecoderShape;
  readonly metadata: Record<string, GgufValue>;
  readonly tensors: GgufTensor[];
  /** The weights as transformers would have them: rows of queries and keys in halves of a head. */
  readonly weight: WeightNamed;
}

const letters = Array.from({ length: 60 }, (_, i) => String.fromCharCode(97 + (i % 26)) + (i < 26 ? '' : String(i)));

/** A model of the architecture whose matrices take the types by turns; an untied head where there is more than one. */
export function ggufModel(
  architecture: Architecture,
  types: readonly GgufTensorType[],
  ropeFactors: number[] | null = null,
): GgufModel {
  const shape: DecoderShape = {
    ...{ layers: 2, hiddenSize: 256, feedForward: 256, heads: 4, kvHeads: 2, headSize: 64, vocabularySize: 64 },
    ...{
      epsilon: Math.fround(1e-5),
      ropeBase: 10_000,
      ropeFactors,
      hasHeadNorms: architecture === 'qwen3',
      positions: 64,
    },
  };
  const random = createRandom(5);
  const weights = new Map<string, Float32Array>();
  const tensors: GgufTensor[] = [];
  let turn = 0;
  const put = (
    name: string,
    own: string,
    type: GgufTensorType,
    rows: number,
    columns: number,
    isTurned = false,
  ): void => {
    const { bytes, values } = makeTensor(random, type, rows, columns);
    weights.set(name, isTurned ? turnedBack(values, columns, shape.headSize) : values);
    tensors.push({ name: own, dims: rows === 1 ? [columns] : [columns, rows], type, bytes: () => bytes });
  };
  const matrix = (name: string, own: string, rows: number, columns: number, isTurned = false): void =>
    put(`${name}.weight`, `${own}.weight`, types[turn++ % types.length]!, rows, columns, isTurned);
  const vector = (name: string, own: string, size: number): void => put(name, own, 'F32', 1, size);
  const { hiddenSize: hidden, feedForward, heads, kvHeads, headSize, vocabularySize } = shape;
  matrix('model.embed_tokens', 'token_embd', vocabularySize, hidden);
  for (let layer = 0; layer < shape.layers; layer++) {
    const [name, own] = [`model.layers.${layer}`, `blk.${layer}`];
    vector(`${name}.input_layernorm.weight`, `${own}.attn_norm.weight`, hidden);
    for (const part of ['q', 'k', 'v'] as const) {
      const rows = (part === 'q' ? heads : kvHeads) * headSize;
      matrix(
        `${name}.self_attn.${part}_proj`,
        `${own}.attn_${part}`,
        rows,
        hidden,
        architecture === 'llama' && part !== 'v',
      );
      if (architecture === 'qwen2') vector(`${name}.self_attn.${part}_proj.bias`, `${own}.attn_${part}.bias`, rows);
      if (architecture === 'qwen3' && part !== 'v')
        vector(`${name}.self_attn.${part}_norm.weight`, `${own}.attn_${part}_norm.weight`, headSize);
    }
    matrix(`${name}.self_attn.o_proj`, `${own}.attn_output`, hidden, heads * headSize);
    vector(`${name}.post_attention_layernorm.weight`, `${own}.ffn_norm.weight`, hidden);
    matrix(`${name}.mlp.gate_proj`, `${own}.ffn_gate`, feedForward, hidden);
    matrix(`${name}.mlp.up_proj`, `${own}.ffn_up`, feedForward, hidden);
    matrix(`${name}.mlp.down_proj`, `${own}.ffn_down`, hidden, feedForward);
  }
  vector('model.norm.weight', 'output_norm.weight', hidden);
  if (types.length > 1) matrix('lm_head', 'output', vocabularySize, hidden);
  if (ropeFactors !== null) {
    const bytes = new Uint8Array(Float32Array.from(ropeFactors).buffer);
    tensors.push({ name: 'rope_freqs.weight', dims: [ropeFactors.length], type: 'F32', bytes: () => bytes });
  }
  return { shape, metadata: metadataOf(architecture, shape), tensors, weight: (name) => weights.get(name) ?? null };
}

export function writeGgufModel(
  path: string,
  { metadata, tensors }: Pick<GgufModel, 'metadata' | 'tensors'>,
): Promise<void> {
  return writeGguf(path, metadata, tensors);
}

function metadataOf(architecture: Architecture, shape: DecoderShape): Record<string, GgufValue> {
  const own: Record<string, GgufValue> = {
    block_count: { u32: shape.layers },
    context_length: { u32: 512 },
    embedding_length: { u32: shape.hiddenSize },
    feed_forward_length: { u32: shape.feedForward },
    'attention.head_count': { u32: shape.heads },
    'attention.head_count_kv': { u32: shape.kvHeads },
    'attention.layer_norm_rms_epsilon': { f32: shape.epsilon },
    'rope.freq_base': { f32: shape.ropeBase },
  };
  return {
    'general.architecture': architecture,
    'general.name': 'A tiny model',
    'general.license': 'apache-2.0',
    ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value])),
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': architecture === 'llama' ? 'smollm' : 'qwen2',
    'tokenizer.ggml.tokens': { strings: ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ' ', ...letters] },
    'tokenizer.ggml.token_type': { i32s: Array.from({ length: 64 }, (_, i) => (i < 3 ? 3 : 1)) },
    'tokenizer.ggml.merges': { strings: ['a b'] },
    'tokenizer.ggml.bos_token_id': { u32: 1 },
    'tokenizer.ggml.eos_token_id': { u32: 2 },
    'tokenizer.ggml.add_bos_token': false,
    'tokenizer.chat_template':
      "{% for message in messages %}{{ '<|im_start|>' + message['content'] + '<|im_end|>' }}{% endfor %}",
  };
}

/** Random blocks whose weights are about as large as those of a trained matrix. */
function makeTensor(
  random: () => number,
  type: GgufTensorType,
  rows: number,
  columns: number,
): { bytes: Uint8Array; values: Float32Array } {
  const spread = rows === 1 ? 0.1 : columns ** -0.5;
  if (!isGgufType(type)) {
    const values = randomValues(random, rows * columns, spread).map((value) => value + (rows === 1 ? 1 : 0));
    if (type === 'F32') return { bytes: new Uint8Array(values.buffer), values };
    if (type === 'F16') {
      const bytes = encodeF16(values);
      return { bytes, values: decodeF16(bytes) };
    }
    const words = new Uint32Array(values.buffer);
    return {
      bytes: new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer),
      values: new Float32Array(words.map((word) => word & 0xffff0000).buffer),
    };
  }
  const block = GGUF_BLOCKS[type];
  const bytes = randomBytes(random, ((rows * columns) / block.columns) * block.bytes);
  const halves = type === 'Q6_K' ? [208] : type.endsWith('K') || type.endsWith('1') ? [0, 2] : [0];
  // Sub-block scales of 6 and 8 bits, and quants of 4 to 8, on the way from a half to a weight.
  const levels = { Q4_0: 4.6, Q4_1: 4.6, Q5_0: 9, Q5_1: 9, Q8_0: 74, Q4_K: 280, Q5_K: 560, Q6_K: 1400 }[type];
  for (let at = 0; at < bytes.length; at += block.bytes) {
    for (const [i, offset] of halves.entries()) {
      const scale = (spread / levels) * (0.5 + random()) * (i === 0 ? 1 : type.endsWith('K') ? 8 : -8);
      bytes.set(encodeF16(Float32Array.of(scale)), at + offset);
    }
  }
  return { bytes, values: ggufWeights(type, bytes) };
}

/** Rows in the order that transformers has: of each head's pairs the firsts, then the seconds. */
function turnedBack(values: Float32Array, columns: number, headSize: number): Float32Array {
  const half = headSize / 2;
  return values.map((_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const within = row % headSize;
    const from = row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
    return values[from * columns + column]!;
  });
}
