import { ChorusError } from '#shared/errors.ts';
import { decodeF16 } from '#shared/model/f16.ts';
import { GGUF_BLOCKS, isGgufType } from '#shared/model/gguf-weight.ts';
import type { DecoderWeights, MatrixWeight, PackedBits } from '../builder/decoder-shape.ts';
import { widenBf16 } from '../builder/bf16.ts';
import { emptyBits, regroupBlocks } from '../builder/block-bits.ts';
import type { GgufFile, GgufTensor } from './gguf-file.ts';

/** The names of a layer's weights in GGUF files, by those that transformers gives them. */
const LAYER_NAMES = new Map([
  ['input_layernorm', 'attn_norm'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.q_norm', 'attn_q_norm'],
  ['self_attn.k_norm', 'attn_k_norm'],
  ['self_attn.o_proj', 'attn_output'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
]);
const OTHER_NAMES = new Map([
  ['model.embed_tokens', 'token_embd'],
  ['model.norm', 'output_norm'],
  ['lm_head', 'output'],
]);
const turnedNames = /\.self_attn\.[qk]_proj\.(weight|bias)$/;

/** Types whose blocks are, number for number, those that onnxruntime has kernels for on a GPU too. */
const EVERYWHERE: ReadonlySet<string> = new Set(['F32', 'F16', 'BF16', 'Q4_0', 'Q8_0']);

/** True where a GPU's kernels hold each matrix of the file exactly. */
export function fitsEveryBackend({ tensors }: Pick<GgufFile, 'tensors'>): boolean {
  return [...tensors.values()].every(({ type }) => EVERYWHERE.has(type));
}

export interface GgufWeightsOptions {
  /** Rows of queries and keys lie in pairs of neighbours, as llama.cpp turns them, and are put back in halves of a head. */
  readonly turnBack: { readonly headSize: number } | null;
}

/** A decoder's weights in a GGUF file, each as exact as it is there. */
export class GgufWeights implements DecoderWeights {
  readonly #file: GgufFile;
  readonly #options: GgufWeightsOptions;
  readonly #isEverywhere: boolean;
  readonly #asked = new Set<string>();

  constructor(file: GgufFile, options: GgufWeightsOptions) {
    this.#file = file;
    this.#options = options;
    this.#isEverywhere = fitsEveryBackend(file);
  }

  /** Tensors that nothing asked for. */
  get unused(): string[] {
    return [...this.#file.tensors.keys()].filter((name) => !this.#asked.has(name));
  }

  has(name: string): boolean {
    return this.#file.tensors.has(ggufName(name));
  }

  vector(name: string, size: number): () => Uint8Array {
    const tensor = this.#find(name, [size]);
    if (isGgufType(tensor.type))
      throw new ChorusError('unsupported-model', `the vector ${tensor.name} is ${tensor.type}`);
    const order = this.#order(name, size);
    return () => permuted(floatBytes(tensor, this.#file.read(tensor)), 4, order);
  }

  matrix(name: string, rows: number, columns: number): MatrixWeight {
    const tensor = this.#find(name, [rows, columns]);
    const { type } = tensor;
    const order = this.#order(name, rows);
    const read = () => permuted(this.#file.read(tensor), tensor.bytes / rows, order);
    if (type === 'F16') return { form: 'float16', rows, columns, read };
    if (type === 'F32' || type === 'BF16')
      return { form: 'float32', rows, columns, read: () => floatBytes(tensor, read()) };
    if (!this.#isEverywhere) return { form: 'blocks', type, rows, columns, read };
    const bits = type === 'Q4_0' ? 4 : 8;
    return { form: 'bits', bits, rows, columns, read: () => regrouped(bits, read()) };
  }

  #find(name: string, dims: readonly number[]): GgufTensor {
    const own = ggufName(name);
    const tensor = this.#file.tensors.get(own);
    if (tensor === undefined) throw new ChorusError('bad-model', `the GGUF file has no tensor ${own}`);
    if (tensor.dims.join() !== dims.join())
      throw new ChorusError(
        'bad-model',
        `the tensor ${own} is ${tensor.dims.join(' × ')}; ${dims.join(' × ')} are expected`,
      );
    this.#asked.add(own);
    return tensor;
  }

  #order(name: string, rows: number): readonly number[] | null {
    const { turnBack } = this.#options;
    return turnBack !== null && turnedNames.test(name) ? halvesOfPairs(rows, turnBack.headSize) : null;
  }
}

function ggufName(name: string): string {
  const [, layer, inner = '', kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer !== undefined) return `blk.${layer}.${LAYER_NAMES.get(inner)}.${kind}`;
  return name.replace(/^(.+)\.(weight|bias)$/, (_, outer: string, end: string) => `${OTHER_NAMES.get(outer)}.${end}`);
}

/** For each row, where it lies in the file: of a head's pairs the firsts come first, then the seconds. */
function halvesOfPairs(rows: number, headSize: number): number[] {
  const half = headSize / 2;
  return Array.from({ length: rows }, (_, row) => {
    const within = row % headSize;
    return row - within + 2 * (within % half) + Math.floor(within / half);
  });
}

function permuted(
  bytes: Uint8Array<ArrayBuffer>,
  rowBytes: number,
  order: readonly number[] | null,
): Uint8Array<ArrayBuffer> {
  if (order === null) return bytes;
  const result = new Uint8Array(bytes.length);
  for (const [row, from] of order.entries()) {
    result.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return result;
}

function floatBytes({ type }: GgufTensor, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (type === 'F16') return new Uint8Array(decodeF16(bytes).buffer);
  return type === 'BF16' ? widenBf16(bytes) : bytes;
}

function regrouped(bits: 4 | 8, bytes: Uint8Array): PackedBits {
  const packed = emptyBits(bits, bytes.length / GGUF_BLOCKS[bits === 4 ? 'Q4_0' : 'Q8_0'].bytes);
  regroupBlocks(bits, bytes, packed);
  return packed;
}
