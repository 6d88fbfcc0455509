import { ChorusError } from '#shared/errors.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { StageInput } from './loaded-graph.ts';

/** Between the rows that links carry (shared/rows/rows.ts has the bytes) and what a stage's graph takes and gives. */
export interface StageRows {
  /** Throws `bad-message` on rows of the wrong kind or size, or tokens outside the vocabulary. */
  decode(rows: Rows): StageInput;
  /** Rows from f32 values [count, hiddenSize], or at the head from rows of candidates. */
  encode(made: Float32Array | Uint8Array<ArrayBuffer>, start: number, count: number): Rows;
}

export function createStageRows(manifest: Manifest, range: StageRange): StageRows {
  const { hiddenSize, vocabularySize } = manifest.config;
  const isHalf = manifest.pins.boundary === 'f16';
  const inputKind = range.embedding ? 'tokens' : 'hidden';
  const inputRowBytes = range.embedding ? 4 : hiddenSize * (isHalf ? 2 : 4);
  return {
    decode(rows) {
      if (rows.kind !== inputKind)
        throw new ChorusError('bad-message', `this stage takes ${inputKind}, not ${rows.kind}`);
      if (rows.count < 1 || rows.bytes.length !== rows.count * inputRowBytes) {
        throw new ChorusError(
          'bad-message',
          `${rows.count} rows of ${inputRowBytes} bytes are not ${rows.bytes.length} bytes`,
        );
      }
      if (!range.embedding) return isHalf ? decodeF16(rows.bytes) : new Float32Array(rows.bytes.slice().buffer);
      const tokens = new Uint32Array(rows.bytes.slice().buffer);
      const stranger = tokens.find((token) => token >= vocabularySize);
      if (stranger !== undefined) throw new ChorusError('bad-message', `token ${stranger} is not in the vocabulary`);
      return tokens;
    },
    encode(made, start, count) {
      if (made instanceof Uint8Array) return { kind: 'logits', start, count, bytes: made };
      return { kind: 'hidden', start, count, bytes: isHalf ? encodeF16(made) : bytesOfFloats(made) };
    },
  };
}

function bytesOfFloats(values: Float32Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
}
