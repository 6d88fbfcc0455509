import { TOP_K } from '#shared/limits.ts';

/** Bytes of one logits row: f32 log-sum-exp, then min(TOP_K, vocabularySize) pairs of u32 token id and f32 logit. */
export function candidateRowBytes(vocabularySize: number): number {
  return 4 + 8 * Math.min(TOP_K, vocabularySize);
}

/**
 * Rows of candidates (little-endian, see Rows in shared/rows/rows.ts) from `logits`, f32
 * [rows, vocabularySize]. The order is total: falling logit, then rising id. NaN counts as -Infinity, so that a
 * device that computes nonsense still gives rows that can be parsed and judged.
 */
export function encodeCandidates(logits: Float32Array, vocabularySize: number): Uint8Array<ArrayBuffer> {
  const rows = logits.length / vocabularySize;
  const rowBytes = candidateRowBytes(vocabularySize);
  const bytes = new Uint8Array(rows * rowBytes);
  for (let row = 0; row < rows; row++) {
    const rowLogits = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
    encodeRow(rowLogits, new DataView(bytes.buffer, row * rowBytes, rowBytes));
  }
  return bytes;
}

function encodeRow(logits: Float32Array, view: DataView): void {
  const { ids, values } = topCandidates(logits, Math.min(TOP_K, logits.length));
  view.setFloat32(0, logSumExp(logits, values[0] as number), true);
  ids.forEach((id, i) => {
    view.setUint32(4 + 8 * i, id, true);
    view.setFloat32(8 + 8 * i, values[i] as number, true);
  });
}

/** The `count` largest, sorted. Insertion into a short sorted list: nearly all logits fail the first comparison. */
function topCandidates(logits: Float32Array, count: number): { ids: Uint32Array; values: Float32Array } {
  const ids = new Uint32Array(count);
  const values = new Float32Array(count);
  let filled = 0;
  for (let id = 0; id < logits.length; id++) {
    const value = orMinusInfinity(logits[id] as number);
    // Ids come in rising order, so that an equal one always belongs behind those already there.
    if (filled === count && !(value > (values[count - 1] as number))) continue;
    let slot = filled < count ? filled++ : count - 1;
    while (slot > 0 && value > (values[slot - 1] as number)) {
      ids[slot] = ids[slot - 1] as number;
      values[slot] = values[slot - 1] as number;
      slot--;
    }
    ids[slot] = id;
    values[slot] = value;
  }
  return { ids, values };
}

/** Summed in f64 from id 0 up, then rounded to f32. */
function logSumExp(logits: Float32Array, largest: number): number {
  if (!Number.isFinite(largest)) return largest;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(orMinusInfinity(logit) - largest);
  return largest + Math.log(sum);
}

function orMinusInfinity(value: number): number {
  return Number.isNaN(value) ? -Infinity : value;
}
