// Four lanes of f32 at a time, in plain SIMD128: no relaxed instruction and no fused multiply-add, so that every
// machine computes the same bits (WebAssembly core specification 3.0, 4.3.3).
#pragma once
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))

/** (0 + 1) + (2 + 3): the one order in which lanes are added up. */
INLINE float sum_lanes(v128_t v) {
  return (wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1)) +
         (wasm_f32x4_extract_lane(v, 2) + wasm_f32x4_extract_lane(v, 3));
}

/** The lane sums of four vectors, each as `sum_lanes` has it. */
INLINE v128_t sum_lanes_of_four(v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t ab = wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 2, 6), wasm_i32x4_shuffle(a, b, 1, 5, 3, 7));
  v128_t cd = wasm_f32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 2, 6), wasm_i32x4_shuffle(c, d, 1, 5, 3, 7));
  return wasm_f32x4_add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

/** The largest lane; NaN where a lane is. */
INLINE float max_lanes(v128_t v) {
  v = wasm_f32x4_max(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(wasm_f32x4_max(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2)), 0);
}

/** a * b + c, rounded twice. */
INLINE v128_t mul_add(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }

/** f32 of four halves (IEEE 754 binary16), exact, from the low 16 bits of each lane. */
INLINE v128_t f32_of_halves(v128_t halves) {
  v128_t magnitude = wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_splat(0x7fff)), 13);
  // 2^112 turns the exponent's bias of 15 into 127, subnormal halves included; infinities and NaN are set by hand.
  v128_t value = wasm_f32x4_mul(magnitude, wasm_i32x4_splat(0x77800000));
  v128_t is_special = wasm_i32x4_ge(magnitude, wasm_i32x4_splat(0x0f800000));
  value = wasm_v128_or(value, wasm_v128_and(is_special, wasm_i32x4_splat(0x7f800000)));
  return wasm_v128_or(value, wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_splat(0x8000)), 16));
}

INLINE v128_t load_halves(const uint16_t *from) { return f32_of_halves(wasm_u32x4_load16x4(from)); }
