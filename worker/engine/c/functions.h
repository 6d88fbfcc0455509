// Functions that a platform's own would make differ, of basic operations in one order.
#pragma once
#include "simd.h"

/** e^x with a relative error below 2e-7: 0 below -87.3, infinite from 88.376 on; NaN stays NaN. After Cephes' expf. */
INLINE v128_t exp4(v128_t x) {
  v128_t least = wasm_f32x4_splat(-87.336544f);
  v128_t most = wasm_f32x4_splat(88.376f);
  v128_t is_zero = wasm_f32x4_lt(x, least), is_infinite = wasm_f32x4_ge(x, most);
  v128_t in = wasm_f32x4_pmin(wasm_f32x4_pmax(x, least), most);
  v128_t n = wasm_f32x4_floor(mul_add(in, wasm_f32x4_splat(1.44269504f), wasm_f32x4_splat(0.5f)));
  v128_t r = wasm_f32x4_sub(in, wasm_f32x4_mul(n, wasm_f32x4_splat(0.693359375f)));
  r = wasm_f32x4_sub(r, wasm_f32x4_mul(n, wasm_f32x4_splat(-2.12194440e-4f)));
  v128_t p = wasm_f32x4_splat(1.9875691500e-4f);
  p = mul_add(p, r, wasm_f32x4_splat(1.3981999507e-3f));
  p = mul_add(p, r, wasm_f32x4_splat(8.3334519073e-3f));
  p = mul_add(p, r, wasm_f32x4_splat(4.1665795894e-2f));
  p = mul_add(p, r, wasm_f32x4_splat(1.6666665459e-1f));
  p = mul_add(p, r, wasm_f32x4_splat(5.0000001201e-1f));
  p = wasm_f32x4_add(mul_add(p, wasm_f32x4_mul(r, r), r), wasm_f32x4_splat(1));
  v128_t power = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  v128_t result = wasm_v128_bitselect(wasm_f32x4_splat(__builtin_inff()), wasm_f32x4_mul(p, power), is_infinite);
  return wasm_v128_andnot(result, is_zero);
}

/** 1 / (1 + e^-x). */
INLINE v128_t sigmoid4(v128_t x) {
  v128_t one = wasm_f32x4_splat(1);
  return wasm_f32x4_div(one, wasm_f32x4_add(one, exp4(wasm_f32x4_neg(x))));
}

/** 1 - 2 / (e^2x + 1), off by 2e-7 at most. */
INLINE v128_t tanh4(v128_t x) {
  v128_t one = wasm_f32x4_splat(1);
  v128_t e = exp4(wasm_f32x4_add(x, x));
  return wasm_f32x4_sub(one, wasm_f32x4_div(wasm_f32x4_splat(2), wasm_f32x4_add(e, one)));
}

/** The error function, off by 4e-7 at most (Abramowitz and Stegun, 7.1.26). */
INLINE v128_t erf4(v128_t x) {
  v128_t one = wasm_f32x4_splat(1);
  v128_t a = wasm_f32x4_abs(x);
  v128_t t = wasm_f32x4_div(one, mul_add(a, wasm_f32x4_splat(0.3275911f), one));
  v128_t p = wasm_f32x4_splat(1.061405429f);
  p = mul_add(p, t, wasm_f32x4_splat(-1.453152027f));
  p = mul_add(p, t, wasm_f32x4_splat(1.421413741f));
  p = mul_add(p, t, wasm_f32x4_splat(-0.284496736f));
  p = wasm_f32x4_mul(mul_add(p, t, wasm_f32x4_splat(0.254829592f)), t);
  v128_t y = wasm_f32x4_sub(one, wasm_f32x4_mul(p, exp4(wasm_f32x4_neg(wasm_f32x4_mul(a, a)))));
  return wasm_v128_or(y, wasm_v128_and(x, wasm_i32x4_splat(0x80000000)));
}
