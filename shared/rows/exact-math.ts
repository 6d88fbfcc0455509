/**
 * Natural logarithm and exponential made of IEEE 754 additions, subtractions, multiplications and divisions of doubles, each
 * rounded once, and of operations on whole numbers, in the order written here: every machine gives the same bits, which it
 * need not with `Math.log` and `Math.exp`. Both follow fdlibm 5.3 (e_log.c, e_exp.c; Sun Microsystems, 1993, free to use
 * with this notice) and err by less than one unit in the last place.
 */

const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;
const SQRT2 = 1.4142135623730951;

const [L1, L2, L3, L4] = [0.6666666666666735, 0.3999999999940942, 0.2857142874366239, 0.22222198432149784];
const [L5, L6, L7] = [0.1818357216161805, 0.15313837699209373, 0.14798198605116586];

const [E1, E2, E3] = [0.16666666666666602, -2.7777777777015593e-3, 6.613756321437934e-5];
const [E4, E5] = [-1.6533902205465252e-6, 4.1381367970572385e-8];

const words = new DataView(new ArrayBuffer(8));

/** ln(x) of a normal positive number; throws a RangeError for any other. */
export function ln(x: number): number {
  if (!(x >= 2 ** -1022 && x < Infinity)) throw new RangeError(`${x} is no normal positive number`);
  words.setFloat64(0, x);
  const high = words.getUint32(0);
  words.setUint32(0, (high & 0x000f_ffff) | 0x3ff0_0000);
  const exponent = (high >>> 20) - 1023;
  const mantissa = words.getFloat64(0);
  return mantissa < SQRT2 ? lnOf(exponent, mantissa - 1) : lnOf(exponent + 1, mantissa / 2 - 1);
}

/** exponent · ln 2 + ln(1 + f), for f from √½ − 1 to √2 − 1. */
export function lnOf(exponent: number, f: number): number {
  if (f === 0) return exponent === 0 ? 0 : exponent * LN2_HIGH + exponent * LN2_LOW;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const odd = w * (L2 + w * (L4 + w * L6));
  const even = z * (L1 + w * (L3 + w * (L5 + w * L7)));
  const square = 0.5 * f * f;
  const rest = s * (square + (even + odd));
  if (exponent === 0) return f - (square - rest);
  return exponent * LN2_HIGH - (square - (rest + exponent * LN2_LOW) - f);
}

/** e^x for x from -700 to 700; 0 below and Infinity above. */
export function exp(x: number): number {
  if (!(x >= -700)) return x < -700 ? 0 : NaN;
  if (x > 700) return Infinity;
  const k = Math.floor(x / (LN2_HIGH + LN2_LOW) + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const t = r * r;
  const c = r - t * (E1 + t * (E2 + t * (E3 + t * (E4 + t * E5))));
  const y = 1 - (low - (r * c) / (2 - c) - high);
  // A product with a power of two is exact here, for the result is a normal number.
  words.setUint32(0, (1023 + k) << 20);
  words.setUint32(4, 0);
  return y * words.getFloat64(0);
}
