import { toBase64 } from '#shared/bytes.ts';

/** A channel that never moves must not turn the last bits of its noise into a difference. */
const LEAST_SHARE_OF_MEDIAN = 1 / 16;
const LEAST = 2 ** -20;

/** The base64 that a manifest holds of a scale. */
export function encodeChannelScale(scale: Float32Array): string {
  return toBase64(new Uint8Array(scale.buffer, scale.byteOffset, scale.byteLength));
}

/**
 * The usual size of each channel over boundaries f32 [positions, hiddenSize] of one model: its root mean square after each
 * boundary was divided by its own, so that late layers, whose rows are larger, count no more than early ones.
 */
export function measureChannelScale(
  boundaries: readonly Float32Array[],
  hiddenSize: number,
): Float32Array<ArrayBuffer> {
  const squares = new Float64Array(hiddenSize);
  let rows = 0;
  for (const boundary of boundaries) {
    const meanSquare = boundary.reduce((sum, value) => sum + value * value, 0) / boundary.length;
    rows += boundary.length / hiddenSize;
    if (meanSquare === 0) continue;
    boundary.forEach((value, i) => (squares[i % hiddenSize]! += (value * value) / meanSquare));
  }
  const scale = Float32Array.from(squares, (sum) => Math.sqrt(sum / rows));
  const median = scale.toSorted()[hiddenSize >>> 1]!;
  return scale.map((value) => Math.max(value, LEAST_SHARE_OF_MEDIAN * median, LEAST));
}
