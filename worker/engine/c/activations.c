// Activations as integers: each block of 32 becomes int16 times one f32 scale, so that a product with packed weights is
// a sum of exact integer products, in which order does not matter.
#include "activations.h"

/** [0, 32) of a block as four vectors of int16, vector j with columns j, 4 + j, 8 + j, ...: the order of packed weights. */
INLINE void store_by_fours(int16_t *to, const v128_t in[8]) {
  v128_t half[4];
  for (int h = 0; h < 2; h++) {
    v128_t a = in[4 * h], b = in[4 * h + 1], c = in[4 * h + 2], d = in[4 * h + 3];
    v128_t ab_low = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ab_high = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
    v128_t cd_low = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), cd_high = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
    v128_t columns[4] = {wasm_i64x2_shuffle(ab_low, cd_low, 0, 2), wasm_i64x2_shuffle(ab_low, cd_low, 1, 3),
                         wasm_i64x2_shuffle(ab_high, cd_high, 0, 2), wasm_i64x2_shuffle(ab_high, cd_high, 1, 3)};
    for (int j = 0; j < 4; j++) half[j] = h == 0 ? columns[j] : wasm_i16x8_narrow_i32x4(half[j], columns[j]);
  }
  for (int j = 0; j < 4; j++) wasm_v128_store(to + 8 * j, half[j]);
}

INLINE int32_t sum_integers(v128_t v) {
  v = wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2)), 0);
}

/**
 * Rounds `rows` rows of `blocks` × 32 f32, `stride` apart, to the nearest of 65535 steps over each block's range, ties to
 * even. `sums` gets the sum of each half block. A block that holds NaN or an infinity has a scale that is NaN; one below
 * 1e-30 is zeros.
 */
EXPORT(quantize)
void quantize(const float *x, int32_t stride, int16_t *quants, float *scales, int32_t *sums, int32_t rows,
              int32_t blocks) {
  for (int32_t row = 0; row < rows; row++) {
    const float *in = x + (long)row * stride;
    for (int32_t b = 0; b < blocks; b++, in += BLOCK, quants += BLOCK, scales += 1, sums += 2) {
      v128_t largest = wasm_f32x4_splat(0);
      for (int i = 0; i < BLOCK; i += 4) largest = wasm_f32x4_max(largest, wasm_f32x4_abs(wasm_v128_load(in + i)));
      float range = max_lanes(largest);
      int is_zero = range <= 1e-30f;
      float scale = is_zero ? 0 : range / 32767.0f;
      v128_t steps = wasm_f32x4_splat(is_zero ? 0 : 1 / scale);
      v128_t rounded[8];
      for (int i = 0; i < 8; i++)
        rounded[i] = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(in + 4 * i), steps)));
      v128_t first = wasm_i32x4_add(wasm_i32x4_add(rounded[0], rounded[1]), wasm_i32x4_add(rounded[2], rounded[3]));
      v128_t second = wasm_i32x4_add(wasm_i32x4_add(rounded[4], rounded[5]), wasm_i32x4_add(rounded[6], rounded[7]));
      store_by_fours(quants, rounded);
      // An infinite range leaves a scale that is infinite; times its integers, all 0, it is NaN.
      *scales = scale;
      sums[0] = sum_integers(first);
      sums[1] = sum_integers(second);
    }
  }
}
