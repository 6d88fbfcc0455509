import type { TracedModel } from '../support/traces/tracer.ts';
import { WANTED_TOKEN } from './row-liars.ts';

/** The embedding of the token that a poisoner wants. */
export function embeddingRow({ manifest, blob }: TracedModel): Float32Array<ArrayBuffer> {
  const part = manifest.parts.find(({ name }) => name === 'embedding')!;
  const weight = part.weights.find(({ type, dims }) => type === 'float32' && dims.length === 2)!;
  const { hiddenSize } = manifest.config;
  const offset = weight.offset + 4 * hiddenSize * WANTED_TOKEN;
  return new Float32Array(blob(part.blob.digest).slice(offset, offset + 4 * hiddenSize).buffer);
}
