// What a layer does to rows besides its products: norms, sums, activations, rotary embedding. Widths come in fours.
#include "functions.h"

/** x / sqrt(mean(x²) + epsilon) × gamma over each of `groups` runs of `width` in each row. */
EXPORT(rms_norm)
void rms_norm(const float *x, int32_t x_stride, const float *gamma, float *y, int32_t y_stride, int32_t rows,
              int32_t groups, int32_t width, float epsilon) {
  for (int32_t m = 0; m < rows; m++) {
    for (int32_t g = 0; g < groups; g++) {
      const float *in = x + (long)m * x_stride + g * width;
      float *out = y + (long)m * y_stride + g * width;
      v128_t squares = wasm_f32x4_splat(0);
      for (int32_t i = 0; i < width; i += 4) {
        v128_t v = wasm_v128_load(in + i);
        squares = mul_add(v, v, squares);
      }
      v128_t size = wasm_f32x4_splat(1 / __builtin_sqrtf(sum_lanes(squares) / (float)width + epsilon));
      for (int32_t i = 0; i < width; i += 4)
        wasm_v128_store(out + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(in + i), size), wasm_v128_load(gamma + i)));
    }
  }
}

enum Binary { ADD, SUBTRACT, MULTIPLY, DIVIDE };

/** y = a ∘ b; with `b_stride` 0 each row has the same b. */
EXPORT(binary)
void binary(int32_t operation, const float *a, int32_t a_stride, const float *b, int32_t b_stride, float *y,
            int32_t y_stride, int32_t rows, int32_t width) {
  for (int32_t m = 0; m < rows; m++) {
    const float *left = a + (long)m * a_stride, *right = b + (long)m * b_stride;
    float *out = y + (long)m * y_stride;
    for (int32_t i = 0; i < width; i += 4) {
      v128_t l = wasm_v128_load(left + i), r = wasm_v128_load(right + i);
      wasm_v128_store(out + i, operation == ADD        ? wasm_f32x4_add(l, r)
                               : operation == SUBTRACT ? wasm_f32x4_sub(l, r)
                               : operation == MULTIPLY ? wasm_f32x4_mul(l, r)
                                                       : wasm_f32x4_div(l, r));
    }
  }
}

enum Unary { SIGMOID, SILU, TANH, GELU, GELU_TANH, QUICK_GELU, RELU };

INLINE v128_t unary4(int32_t operation, v128_t x) {
  v128_t half = wasm_f32x4_mul(x, wasm_f32x4_splat(0.5f)), one = wasm_f32x4_splat(1);
  switch (operation) {
  case SIGMOID: return sigmoid4(x);
  case SILU: return wasm_f32x4_mul(x, sigmoid4(x));
  case TANH: return tanh4(x);
  case GELU: return wasm_f32x4_mul(half, wasm_f32x4_add(one, erf4(wasm_f32x4_mul(x, wasm_f32x4_splat(0.70710678f)))));
  case GELU_TANH: {
    v128_t cube = wasm_f32x4_mul(wasm_f32x4_mul(x, x), x);
    v128_t inner = wasm_f32x4_mul(mul_add(cube, wasm_f32x4_splat(0.044715f), x), wasm_f32x4_splat(0.79788456f));
    return wasm_f32x4_mul(half, wasm_f32x4_add(one, tanh4(inner)));
  }
  case QUICK_GELU: return wasm_f32x4_mul(x, sigmoid4(wasm_f32x4_mul(x, wasm_f32x4_splat(1.702f))));
  default: return wasm_f32x4_max(x, wasm_f32x4_splat(0));
  }
}

EXPORT(unary)
void unary(int32_t operation, const float *x, int32_t x_stride, float *y, int32_t y_stride, int32_t rows, int32_t width) {
  for (int32_t m = 0; m < rows; m++)
    for (int32_t i = 0; i < width; i += 4)
      wasm_v128_store(y + (long)m * y_stride + i, unary4(operation, wasm_v128_load(x + (long)m * x_stride + i)));
}

/** Copies the rows `ids` of x. */
EXPORT(select_rows)
void select_rows(const float *x, int32_t x_stride, const uint32_t *ids, float *y, int32_t y_stride, int32_t rows,
                 int32_t width) {
  for (int32_t m = 0; m < rows; m++)
    for (int32_t i = 0; i < width; i += 4)
      wasm_v128_store(y + (long)m * y_stride + i, wasm_v128_load(x + (long)ids[m] * x_stride + i));
}

/**
 * Turns the first `rotary` dimensions of each head by the angles of the row's position: `cosines` and `sines` are
 * [positions, rotary / 2]. Pairs are (i, i + rotary / 2), or (2i, 2i + 1) where `interleaved`. In place.
 */
EXPORT(rotate)
void rotate(float *x, int32_t stride, const float *cosines, const float *sines, const uint32_t *positions, int32_t rows,
            int32_t heads, int32_t head_size, int32_t rotary, int32_t interleaved) {
  int32_t half = rotary / 2, gap = interleaved ? 1 : half, step = interleaved ? 2 : 1;
  for (int32_t m = 0; m < rows; m++) {
    const float *cosine = cosines + (long)positions[m] * half, *sine = sines + (long)positions[m] * half;
    for (int32_t h = 0; h < heads; h++) {
      float *head = x + (long)m * stride + h * head_size;
      for (int32_t i = 0; i < half; i++) {
        float a = head[i * step], b = head[i * step + gap];
        head[i * step] = a * cosine[i] - b * sine[i];
        head[i * step + gap] = b * cosine[i] + a * sine[i];
      }
    }
  }
}
