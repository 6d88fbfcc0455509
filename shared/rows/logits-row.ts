import { ChorusError } from '../errors.ts';

/** One row of logits as the last stage returns it: the best tokens by falling logit and then rising id. */
export interface Candidates {
  /** Natural logarithm of the sum of exp(logit) over the whole vocabulary. */
  readonly logSumExp: number;
  readonly tokens: Uint32Array;
  readonly logits: Float32Array;
}

/** Bytes of one logits row that carries `candidates` pairs. */
export function logitsRowBytes(candidates: number): number {
  return 4 + 8 * candidates;
}

/**
 * Reads one logits row: f32 log-sum-exp, then pairs of u32 token id and f32 logit, little-endian. Throws `bad-message`
 * where the size is wrong, a number is not finite, an id is outside the vocabulary or there twice, or the order is not by
 * falling logit and then rising id.
 */
export function readCandidates(row: Uint8Array<ArrayBuffer>, vocabularySize: number, count: number): Candidates {
  if (row.length !== logitsRowBytes(count)) throw new ChorusError('bad-message', 'a logits row has the wrong size');
  const view = new DataView(row.buffer, row.byteOffset, row.length);
  const logSumExp = view.getFloat32(0, true);
  const tokens = new Uint32Array(count);
  const logits = new Float32Array(count);
  const seen = new Set<number>();
  for (let i = 0; i < count; i++) {
    const token = view.getUint32(4 + 8 * i, true);
    const logit = view.getFloat32(8 + 8 * i, true);
    if (!Number.isFinite(logit)) throw new ChorusError('bad-message', 'a logit is not a finite number');
    if (token >= vocabularySize) throw new ChorusError('bad-message', 'a token id lies outside the vocabulary');
    // It would be drawn as often as it is named.
    if (seen.has(token)) throw new ChorusError('bad-message', 'a token is named twice in a logits row');
    seen.add(token);
    const before = i === 0 ? Infinity : logits[i - 1]!;
    if (logit > before || (logit === before && token <= tokens[i - 1]!)) {
      throw new ChorusError('bad-message', 'the candidates of a logits row are not in order');
    }
    tokens[i] = token;
    logits[i] = logit;
  }
  if (!Number.isFinite(logSumExp)) throw new ChorusError('bad-message', 'a log-sum-exp is not a finite number');
  return { logSumExp, tokens, logits };
}
