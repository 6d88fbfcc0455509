import { create } from '@bufbuild/protobuf';
import { TensorProtoSchema, type TensorProto } from 'onnx-buf';
import { Tokenizer } from '@huggingface/tokenizers';
import { decodeF16 } from '#shared/model/f16.ts';
import type { MatrixSource, Plan, Slot, Step, View } from '#shared/model/engine/plan.ts';
import { ONNX_FLOAT16, ONNX_FLOAT32 } from '#shared/model/tensor-bytes.ts';
import type { GgufFile, GgufTensor } from './gguf-file.ts';
import type { PlannedModel } from './planned-model.ts';

const ONNX_UINT8 = 2;
const POSITIONS = 512;

/** The model's own weights; their numbers as floats; or rounded to the eight even ones of their sixteen levels. */
export type WeightForm = 'blocks' | 'floats' | 'three bits';

/** A llama of GGUF's Q4_1 matrices, a Q8_0 table that is also its head, and F32 norms. */
export function openSmol(file: GgufFile, form: WeightForm): PlannedModel {
  const number = (key: string): number => Number(file.metadata.get(`llama.${key}`));
  const [layers, hiddenSize] = [number('block_count'), number('embedding_length')];
  const [heads, kvHeads] = [number('attention.head_count'), number('attention.head_count_kv')];
  const headSize = hiddenSize / heads;
  const epsilon = number('attention.layer_norm_rms_epsilon');
  const angles = rotaryTables(headSize, number('rope.freq_base'));
  const table = file.tensor('token_embd.weight');

  return {
    ...{ layers, hiddenSize, vocabularySize: table.rows },
    plan({ start, end, embedding, head }) {
      const steps: Step[] = [];
      const build = new PlanBuilder(steps);
      const vector = (name: string) => ({ tensor: floats(name, [hiddenSize], file.tensor(name).bytes) });
      const product = (name: string, from: View): View => build.product(file.tensor(name), name, form, from);
      const norm = (name: string, from: View): View =>
        build.add(hiddenSize, from.slot.isWanted, (to) => ({
          ...{ type: 'norm', from, gamma: vector(name), size: hiddenSize, epsilon, to },
        }));
      const input = embedding ? null : build.slot(hiddenSize, false);
      let hidden =
        input === null
          ? build.add(hiddenSize, false, (to) => ({ type: 'gather', table: tableOf(table, form), to }))
          : whole(input);
      for (let layer = start; layer < end; layer++) {
        const name = (part: string): string => `blk.${layer}.${part}.weight`;
        const normed = norm(name('attn_norm'), hidden);
        const [query, key, value] = ['attn_q', 'attn_k', 'attn_v'].map((part) => product(name(part), normed)) as [
          View,
          View,
          View,
        ];
        const attended = build.add(hiddenSize, false, (to) => ({
          ...{ type: 'attention', layer: layer - start, query, key, value, heads, kvHeads, headSize, to },
          ...{ scale: 1 / Math.sqrt(headSize), softcap: 0, rotary: { ...angles, isInterleaved: true } },
        }));
        hidden = build.binary('add', hidden, product(name('attn_output'), attended));
        const second = norm(name('ffn_norm'), hidden);
        const gate = product(name('ffn_gate'), second);
        const silu = build.add(gate.width, false, (to) => ({ type: 'unary', operation: 'silu', from: gate, to }));
        const inner = build.binary('multiply', silu, product(name('ffn_up'), second));
        hidden = build.binary('add', hidden, product(name('ffn_down'), inner));
      }
      const output = head ? build.head(norm('output_norm.weight', hidden), tableOf(table, form), table.rows) : hidden;
      const plan: Plan = { steps, input, output, layers: end - start, kvHeads, headSize };
      return { plan, read: (tensor) => tensor.rawData };
    },
  };
}

/** Text as the file's own vocabulary has it. */
export function openSmolText({ metadata }: GgufFile): (text: string) => number[] {
  const tokens = metadata.get('tokenizer.ggml.tokens') as readonly string[];
  const special = (metadata.get('tokenizer.ggml.token_type') as readonly number[]).flatMap((type, id) =>
    type === 3 ? [{ id, content: tokens[id]!, special: true }] : [],
  );
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const tokenizer = new Tokenizer(
    {
      version: '1.0',
      added_tokens: special.map((token) => ({ ...token, ...plain })),
      normalizer: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Digits', individual_digits: true },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
        ],
      },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: metadata.get('tokenizer.ggml.merges') as readonly string[],
      },
    },
    { add_bos_token: false },
  );
  return (text) => [...tokenizer.encode(text, { add_special_tokens: false }).ids];
}

class PlanBuilder {
  readonly #steps: Step[];
  #slots = 0;

  constructor(steps: Step[]) {
    this.#steps = steps;
  }

  slot(width: number, isWanted: boolean): Slot {
    return { id: this.#slots++, width, isWanted };
  }

  add(width: number, isWanted: boolean, step: (to: Slot) => Step): View {
    const to = this.slot(width, isWanted);
    this.#steps.push(step(to));
    return whole(to);
  }

  binary(operation: 'add' | 'multiply', left: View, right: View): View {
    return this.add(left.width, left.slot.isWanted, (to) => ({ type: 'binary', operation, left, right, to }));
  }

  product(tensor: GgufTensor, name: string, form: WeightForm, from: View): View {
    const { rows } = tensor;
    const by = (matrix: MatrixSource): View => this.add(rows, false, (to) => ({ type: 'product', matrix, from, to }));
    const [first, ...rest] = matricesOf(tensor, name, form);
    return rest.reduce((sum, matrix) => this.binary('add', sum, by(matrix)), by(first!));
  }

  head(from: View, matrix: MatrixSource, rows: number): View {
    const wanted = this.add(from.width, true, (to) => ({ type: 'select', from, to }));
    return this.add(rows, true, (to) => ({ type: 'product', matrix, from: wanted, to }));
  }
}

/** Angles of each position, in the order of pairs of neighbours that GGUF's rows of queries and keys lie in. */
function rotaryTables(headSize: number, base: number): { cosines: TensorProto; sines: TensorProto } {
  const half = headSize / 2;
  const table = (name: string, of: (angle: number) => number): TensorProto => {
    const values = Float32Array.from({ length: POSITIONS * half }, (_, i) =>
      of(Math.floor(i / half) * base ** ((-2 * (i % half)) / headSize)),
    );
    return floats(name, [POSITIONS, half], new Uint8Array(values.buffer));
  };
  return { cosines: table('cosines', Math.cos), sines: table('sines', Math.sin) };
}

/**
 * A Q4_1 matrix as graphs have them: weights (quant - 8) × scale, and beside it the sum of each block's activations by minimum
 * + 8 × scale, which is a matrix whose every quant stands for 1.
 */
function matricesOf({ type, rows, columns, bytes }: GgufTensor, name: string, form: WeightForm): MatrixSource[] {
  if (type !== 'Q4_1') throw new Error(`${name} is ${type}`);
  const blocks = bytes.length / 20;
  const quants = new Uint8Array(16 * blocks);
  const halves = new Uint16Array(2 * blocks);
  for (let block = 0; block < blocks; block++) {
    const at = 20 * block;
    halves[block] = bytes[at]! | (bytes[at + 1]! << 8);
    halves[blocks + block] = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let i = 0; i < 16; i++) {
      const [one, two] = [bytes[at + 4 + ((2 * i) & 15)]!, bytes[at + 4 + ((2 * i + 1) & 15)]!];
      const [even, odd] = i < 8 ? [one & 15, two & 15] : [one >> 4, two >> 4];
      quants[16 * block + i] = rounded(even, form) | (rounded(odd, form) << 4);
    }
  }
  const decoded = decodeF16(new Uint8Array(halves.buffer));
  const [scales, minima] = [decoded.subarray(0, blocks), decoded.subarray(blocks)];
  if (form === 'floats') {
    const values = new Float32Array(rows * columns);
    for (let i = 0; i < values.length; i += 2) {
      const [pair, block] = [quants[i >> 1]!, i >> 5];
      values[i] = (pair & 15) * scales[block]! + minima[block]!;
      values[i + 1] = (pair >> 4) * scales[block]! + minima[block]!;
    }
    return [plain(name, rows, columns, values)];
  }
  const shifted = Float32Array.from(minima, (minimum, block) => minimum + 8 * scales[block]!);
  const quantized = (label: string, packed: Uint8Array<ArrayBuffer>, of: TensorProto): MatrixSource => ({
    kind: 'quantized',
    weight: {
      ...{ quants: raw(`${name} ${label}`, ONNX_UINT8, [packed.length], packed), scales: of, zeroPoints: null },
      ...{ rows, columns, bits: 4, blockSize: 32 },
    },
  });
  const own = raw(`${name} scales`, ONNX_FLOAT16, [blocks], new Uint8Array(halves.slice(0, blocks).buffer));
  return [
    quantized('quants', quants, own),
    quantized('ones', new Uint8Array(16 * blocks).fill(0x99), floats(`${name} minima`, [blocks], bytesOf(shifted))),
  ];
}

/** The nearest even level; of two the one that four divides, for rounding all up would shift every weight. */
function rounded(quant: number, form: WeightForm): number {
  if (form !== 'three bits' || quant % 2 === 0) return quant;
  return quant % 4 === 1 ? quant - 1 : Math.min(14, quant + 1);
}

/** The table of embeddings, which no form but floats changes. */
function tableOf({ type, rows, columns, bytes }: GgufTensor, form: WeightForm): MatrixSource {
  if (type !== 'Q8_0') throw new Error(`the table is ${type}`);
  const blocks = bytes.length / 34;
  const quants = new Uint8Array(32 * blocks);
  const halves = new Uint8Array(2 * blocks);
  for (let block = 0; block < blocks; block++) {
    halves.set(bytes.subarray(34 * block, 34 * block + 2), 2 * block);
    for (let i = 0; i < 32; i++) quants[32 * block + i] = bytes[34 * block + 2 + i]! ^ 128;
  }
  if (form === 'floats') {
    const scales = decodeF16(halves);
    const values = Float32Array.from(quants, (quant, i) => (quant - 128) * scales[i >> 5]!);
    return plain('table', rows, columns, values);
  }
  return {
    kind: 'quantized',
    weight: {
      quants: raw('table quants', ONNX_UINT8, [quants.length], quants),
      scales: raw('table scales', ONNX_FLOAT16, [rows, blocks / rows], halves),
      ...{ zeroPoints: null, rows, columns, bits: 8, blockSize: 32 },
    },
  };
}

function plain(name: string, rows: number, columns: number, values: Float32Array<ArrayBuffer>): MatrixSource {
  return { kind: 'plain', tensor: floats(name, [rows, columns], bytesOf(values)), isTurned: false };
}

function floats(name: string, dims: readonly number[], bytes: Uint8Array<ArrayBuffer>): TensorProto {
  return raw(name, ONNX_FLOAT32, dims, bytes);
}

function raw(name: string, dataType: number, dims: readonly number[], rawData: Uint8Array<ArrayBuffer>): TensorProto {
  return create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData });
}

function bytesOf(values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function whole(slot: Slot): View {
  return { slot, offset: 0, width: slot.width };
}
