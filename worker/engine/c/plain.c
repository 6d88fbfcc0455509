// Matrices of floats, row by row: f32, or f16 held as it came.
#include "simd.h"

INLINE v128_t load4(const void *row, int32_t at, int32_t is_half) {
  return is_half ? load_halves((const uint16_t *)row + at) : wasm_v128_load((const float *)row + at);
}

INLINE void multiply_plain_as(int32_t is_half, const uint8_t *w, int32_t w_rows, int32_t columns, const float *x,
                              int32_t x_stride, float *y, int32_t y_stride, int32_t rows) {
  long bytes = (long)columns * (is_half ? 2 : 4);
  for (int32_t r = 0; r < w_rows; r += 4) {
    int32_t count = w_rows - r < 4 ? w_rows - r : 4;
    const uint8_t *row[4];
    for (int z = 0; z < 4; z++) row[z] = w + (r + (z < count ? z : 0)) * bytes;
    for (int32_t m = 0; m < rows; m++) {
      const float *in = x + (long)m * x_stride;
      v128_t total[4] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
      for (int32_t i = 0; i < columns; i += 4) {
        v128_t value = wasm_v128_load(in + i);
        for (int z = 0; z < 4; z++) total[z] = mul_add(load4(row[z], i, is_half), value, total[z]);
      }
      v128_t four = sum_lanes_of_four(total[0], total[1], total[2], total[3]);
      float out[4];
      wasm_v128_store(out, four);
      for (int z = 0; z < count; z++) y[(long)m * y_stride + r + z] = out[z];
    }
  }
}

/** y = x · wᵀ for a matrix of f16 or f32 [w_rows, columns]; columns in fours. */
EXPORT(multiply_plain)
void multiply_plain(const uint8_t *w, int32_t is_half, int32_t w_rows, int32_t columns, const float *x,
                    int32_t x_stride, float *y, int32_t y_stride, int32_t rows) {
  if (is_half) multiply_plain_as(1, w, w_rows, columns, x, x_stride, y, y_stride, rows);
  else multiply_plain_as(0, w, w_rows, columns, x, x_stride, y, y_stride, rows);
}

/** Rows `ids` of such a matrix as f32. */
EXPORT(gather_plain)
void gather_plain(const uint8_t *w, int32_t is_half, int32_t columns, const uint32_t *ids, float *y, int32_t stride,
                  int32_t rows) {
  for (int32_t m = 0; m < rows; m++) {
    const uint8_t *row = w + (long)ids[m] * columns * (is_half ? 2 : 4);
    for (int32_t i = 0; i < columns; i += 4) wasm_v128_store(y + (long)m * stride + i, load4(row, i, is_half));
  }
}
