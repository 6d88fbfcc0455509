import { ChorusError } from '#shared/errors.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { GGUF_BLOCKS } from '#shared/model/gguf-weight.ts';
import { widenBf16 } from '../builder/bf16.ts';
import { emptyBits, regroupBlocks } from '../builder/block-bits.ts';
import { EMBEDDING, HEAD, type DecoderWeights, type MatrixWeight } from '../builder/decoder-shape.ts';
import type { DecoderFacts } from './decoder-config.ts';
import { BLOCK_COLUMNS, quantizeBlocks, type RoundedType, type RoundingError } from './quantize-blocks.ts';
import type { Rounding } from './rounding.ts';
import { SAFETENSORS_TYPES, type SafetensorsTensor } from './safetensors-file.ts';
import type { SafetensorsFolder } from './safetensors-folder.ts';

/** Values that are read and rounded together. A multiple of a block. */
const PIECE_VALUES = 2 ** 20;
/** Kept by older programs beside the weights, and made anew by all. */
const derived = /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/;

/** A decoder's weights in safetensors, rounded as they are read, a piece at a time. */
export class SafetensorsWeights implements DecoderWeights {
  readonly #files: Pick<SafetensorsFolder, 'tensors' | 'read'>;
  readonly #facts: Pick<DecoderFacts, 'isTied' | 'hasBias'>;
  readonly #rounding: Rounding;
  readonly #asked = new Set<string>();

  constructor(
    files: Pick<SafetensorsFolder, 'tensors' | 'read'>,
    facts: Pick<DecoderFacts, 'isTied' | 'hasBias'>,
    rounding: Rounding,
  ) {
    this.#files = files;
    this.#facts = facts;
    this.#rounding = rounding;
  }

  /** Tensors that nothing asked for and that are of the model. */
  get unused(): string[] {
    const isRepeated = (name: string) => this.#facts.isTied && name === HEAD;
    return [...this.#files.tensors.keys()].filter(
      (name) => !this.#asked.has(name) && !derived.test(name) && !isRepeated(name),
    );
  }

  has(name: string): boolean {
    return name === HEAD ? !this.#facts.isTied : this.#facts.hasBias(name);
  }

  vector(name: string, size: number): () => Uint8Array {
    const tensor = this.#find(name, [size]);
    return () => bytesOf(this.#floats(tensor, 0, size));
  }

  matrix(name: string, rows: number, columns: number): MatrixWeight {
    const tensor = this.#find(name, [rows, columns]);
    const form = this.#rounding[name === EMBEDDING || name === HEAD ? 'tables' : 'layers'];
    if (form === 'F32') return { form: 'float32', rows, columns, read: () => this.#wide(tensor, rows * columns) };
    if (form === 'F16') return this.#halves(tensor, rows, columns);
    if (columns % BLOCK_COLUMNS !== 0)
      throw new ChorusError(
        'unsupported-model',
        `rows of ${name} have ${columns} numbers, which are no whole blocks of ${BLOCK_COLUMNS}; choose --quant fp16 or fp32`,
      );
    return this.#blocks(tensor, rows, columns, form);
  }

  #blocks(tensor: SafetensorsTensor, rows: number, columns: number, form: RoundedType): MatrixWeight {
    const blocks = (rows * columns) / BLOCK_COLUMNS;
    const { bytes: size } = GGUF_BLOCKS[form];
    const error = new MeasuredError(tensor);
    const rounded = (put: (bytes: Uint8Array, first: number) => void) => {
      error.restart();
      for (const [at, values] of this.#pieces(tensor)) {
        const bytes = new Uint8Array((values.length / BLOCK_COLUMNS) * size);
        quantizeBlocks(form, values, bytes, error);
        put(bytes, at / BLOCK_COLUMNS);
      }
      error.finish();
    };
    const relativeError = () => error.relative;
    if (this.#rounding.onlyOn === null && (form === 'Q4_0' || form === 'Q8_0')) {
      const bits = form === 'Q4_0' ? 4 : 8;
      const read = () => {
        const packed = emptyBits(bits, blocks);
        rounded((bytes, first) => regroupBlocks(bits, bytes, packed, first));
        return packed;
      };
      return { form: 'bits', bits, rows, columns, read, relativeError };
    }
    const read = () => {
      const all = new Uint8Array(blocks * size);
      rounded((bytes, first) => all.set(bytes, first * size));
      return all;
    };
    return { form: 'blocks', type: form, rows, columns, read, relativeError };
  }

  #halves(tensor: SafetensorsTensor, rows: number, columns: number): MatrixWeight {
    if (tensor.type === 'F16')
      return { form: 'float16', rows, columns, read: () => this.#files.read(tensor, 0, tensor.bytes) };
    const error = new MeasuredError(tensor);
    const read = () => {
      const all = new Uint8Array(2 * rows * columns);
      error.restart();
      for (const [at, values] of this.#pieces(tensor)) {
        const halves = encodeF16(values);
        all.set(halves, 2 * at);
        error.add(values, decodeF16(halves));
      }
      error.finish();
      return all;
    };
    return { form: 'float16', rows, columns, read, relativeError: () => error.relative };
  }

  #wide(tensor: SafetensorsTensor, count: number): Uint8Array {
    const all = new Uint8Array(4 * count);
    for (const [at, values] of this.#pieces(tensor)) all.set(bytesOf(values), 4 * at);
    return all;
  }

  *#pieces(tensor: SafetensorsTensor): Generator<[at: number, values: Float32Array]> {
    const count = tensor.bytes / SAFETENSORS_TYPES[tensor.type];
    for (let at = 0; at < count; at += PIECE_VALUES)
      yield [at, this.#floats(tensor, at, Math.min(PIECE_VALUES, count - at))];
  }

  #floats(tensor: SafetensorsTensor, at: number, count: number): Float32Array {
    const size = SAFETENSORS_TYPES[tensor.type];
    const bytes = this.#files.read(tensor, at * size, count * size);
    if (tensor.type === 'F16') return decodeF16(bytes);
    return new Float32Array((tensor.type === 'BF16' ? widenBf16(bytes) : bytes).buffer);
  }

  #find(name: string, dims: readonly number[]): SafetensorsTensor {
    const tensor = this.#files.tensors.get(name);
    if (tensor === undefined) throw new ChorusError('bad-model', `the safetensors have no tensor ${name}`);
    if (tensor.dims.join() !== dims.join())
      throw new ChorusError(
        'bad-model',
        `the tensor ${name} is ${tensor.dims.join(' × ')}; ${dims.join(' × ')} are expected`,
      );
    this.#asked.add(name);
    return tensor;
  }
}

/** How far a matrix's weights are from those of its file. */
class MeasuredError implements RoundingError {
  error = 0;
  power = 0;
  relative: number | null = null;
  readonly #name: string;

  constructor({ name }: SafetensorsTensor) {
    this.#name = name;
  }

  restart(): void {
    this.error = 0;
    this.power = 0;
  }

  add(values: Float32Array, kept: Float32Array): void {
    for (const [i, value] of values.entries()) {
      this.error += (value - kept[i]!) ** 2;
      this.power += value * value;
    }
  }

  /** Root mean square of the differences as a share of that of the weights. Throws `bad-model` where one is no number or too large. */
  finish(): void {
    if (!Number.isFinite(this.power) || !Number.isFinite(this.error))
      throw new ChorusError(
        'bad-model',
        `the tensor ${this.#name} has weights that are no numbers, or too large to be rounded`,
      );
    this.relative = this.power === 0 ? 0 : Math.sqrt(this.error / this.power);
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
