import { ChorusError } from '#shared/errors.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { RoundedType } from './quantize-blocks.ts';

type Quantization = Manifest['pins']['quantization'];

/** How a matrix is kept: as GGUF blocks, or as numbers. */
export type KeptForm = RoundedType | 'F16' | 'F32';

/** What is made of a model's matrices. */
export interface Rounding {
  readonly quantization: Quantization;
  readonly layers: KeptForm;
  /** Of the table and the head, which most of what is heard hangs on. */
  readonly tables: KeptForm;
  /** The one backend that holds them exactly; null where all do. */
  readonly onlyOn: 'wasm' | null;
}

const everywhere = { onlyOn: null };
const processors = { onlyOn: 'wasm' } as const;
const ROUNDINGS = new Map<string, Rounding>([
  ['q8', { quantization: 'q8_0', layers: 'Q8_0', tables: 'Q8_0', ...everywhere }],
  ['q4', { quantization: 'q4_0', layers: 'Q4_0', tables: 'Q8_0', ...everywhere }],
  ['q4_1', { quantization: 'q4_1', layers: 'Q4_1', tables: 'Q8_0', ...processors }],
  ['q5_0', { quantization: 'q5_0', layers: 'Q5_0', tables: 'Q8_0', ...processors }],
  ['q5_1', { quantization: 'q5_1', layers: 'Q5_1', tables: 'Q8_0', ...processors }],
  ['fp16', { quantization: 'fp16', layers: 'F16', tables: 'F16', ...everywhere }],
  ['fp32', { quantization: 'fp32', layers: 'F32', tables: 'F32', ...everywhere }],
]);
/** Without a wish: nobody asked for a loss that can be heard. */
const DEFAULT = 'q8';
const ALSO = new Map([
  ['q8_0', 'q8'],
  ['q4_0', 'q4'],
  ['f16', 'fp16'],
  ['f32', 'fp32'],
]);

/** What `--quant` asks for. Throws `unsupported-model` for what weights are not rounded to. */
export function roundingWished(wish: string = DEFAULT): Rounding {
  const name = wish.toLowerCase();
  const rounding = ROUNDINGS.get(ALSO.get(name) ?? name);
  if (rounding !== undefined) return rounding;
  throw new ChorusError(
    'unsupported-model',
    `weights in safetensors are not rounded to ${wish.slice(0, 40)}; choose --quant ${[...ROUNDINGS.keys()].join(', ')}`,
  );
}
