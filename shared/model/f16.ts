/** f32 bits of every f16 value (IEEE 754 binary16 to binary32, exact, NaN payloads kept). */
const F32_BITS = buildTable();

function buildTable(): Uint32Array {
  const table = new Uint32Array(0x10000);
  for (let half = 0; half < 0x10000; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    let bits: number;
    if (exponent === 0x1f) {
      bits = sign | 0x7f800000 | (fraction << 13);
    } else if (exponent !== 0) {
      bits = sign | ((exponent + 112) << 23) | (fraction << 13);
    } else if (fraction === 0) {
      bits = sign;
    } else {
      // A subnormal: fraction × 2^-24, normalized so that the leading one falls out.
      const shift = Math.clz32(fraction) - 21;
      bits = sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
    }
    table[half] = bits;
  }
  return table;
}

/** f16 bits nearest to the value with these f32 bits, ties to even; overflow gives infinity, NaN stays NaN. */
function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) {
    const payload = (magnitude >>> 13) & 0x3ff;
    const isNaN = magnitude > 0x7f800000;
    return sign | 0x7c00 | (isNaN && payload === 0 ? 0x200 : payload);
  }
  if (magnitude >= 0x38800000) {
    // Normal: rebias by 112 and add just under half, plus one more where the kept part is odd. A carry out of the
    // fraction raises the exponent, and out of the largest exponent gives infinity.
    const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
    return sign | (rounded >= 0x0f800000 ? 0x7c00 : rounded >>> 13);
  }
  const shift = 126 - (magnitude >>> 23);
  // Below half of the smallest subnormal, 2^-25 itself being a tie that goes to zero.
  if (shift > 24) return sign;
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const kept = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

/** Values as f16, 2 bytes each, little-endian; rounded to nearest, ties to even (IEEE 754 section 4.3.1). */
export function encodeF16(values: Float32Array): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bytes = new Uint8Array(2 * values.length);
  for (let i = 0; i < bits.length; i++) {
    const half = halfOf(bits[i] as number);
    bytes[2 * i] = half;
    bytes[2 * i + 1] = half >>> 8;
  }
  return bytes;
}

/** f32 values of f16 bytes, little-endian, exact. Throws RangeError on an odd number of bytes. */
export function decodeF16(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  if (bytes.length % 2 !== 0) throw new RangeError(`${bytes.length} bytes end within an f16 value`);
  const values = new Float32Array(bytes.length / 2);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < bits.length; i++) {
    bits[i] = F32_BITS[(bytes[2 * i] as number) | ((bytes[2 * i + 1] as number) << 8)] as number;
  }
  return values;
}
