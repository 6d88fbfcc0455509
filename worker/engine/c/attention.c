// Grouped attention over keys and values that stay here: f32 [kv heads][capacity][head size] for each layer of a session.
#include "functions.h"

/** Writes row m of `x` (kv heads × head size) to position `positions[m]` of the store that `stores[m]` names. */
EXPORT(append)
void append(const float *x, int32_t x_stride, float *const *stores, const uint32_t *positions, int32_t rows,
            int32_t kv_heads, int32_t head_size, const int32_t *capacities) {
  for (int32_t m = 0; m < rows; m++)
    for (int32_t h = 0; h < kv_heads; h++) {
      float *to = stores[m] + ((long)h * capacities[m] + positions[m]) * head_size;
      for (int32_t i = 0; i < head_size; i += 4)
        wasm_v128_store(to + i, wasm_v128_load(x + (long)m * x_stride + h * head_size + i));
    }
}

/** Scaled products of one query with keys [0, count), four keys at a time; what is beyond `count` in the last four is not read by anyone. */
INLINE void score(const float *query, const float *keys, float *scores, int32_t count, int32_t head_size, float scale,
                  float softcap) {
  for (int32_t t = 0; t < count; t += 4) {
    const float *key = keys + (long)t * head_size;
    v128_t total[4] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
    for (int32_t i = 0; i < head_size; i += 4) {
      v128_t q = wasm_v128_load(query + i);
      for (int z = 0; z < 4; z++) total[z] = mul_add(q, wasm_v128_load(key + z * head_size + i), total[z]);
    }
    v128_t products = wasm_f32x4_mul(sum_lanes_of_four(total[0], total[1], total[2], total[3]), wasm_f32x4_splat(scale));
    if (softcap > 0) {
      v128_t cap = wasm_f32x4_splat(softcap);
      products = wasm_f32x4_mul(tanh4(wasm_f32x4_div(products, cap)), cap);
    }
    wasm_v128_store(scores + t, products);
  }
}

/** Scores to weights e^(score - largest), not yet divided by their sum, which it returns. */
INLINE float weigh(float *scores, int32_t count) {
  // Lanes beyond the last position would weigh in.
  int32_t padded = (count + 3) & ~3;
  for (int32_t t = count; t < padded; t++) scores[t] = -__builtin_inff();
  v128_t largest = wasm_f32x4_splat(-__builtin_inff());
  for (int32_t t = 0; t < padded; t += 4) largest = wasm_f32x4_max(largest, wasm_v128_load(scores + t));
  v128_t top = wasm_f32x4_splat(max_lanes(largest)), sum = wasm_f32x4_splat(0);
  for (int32_t t = 0; t < padded; t += 4) {
    v128_t weight = exp4(wasm_f32x4_sub(wasm_v128_load(scores + t), top));
    wasm_v128_store(scores + t, weight);
    sum = wasm_f32x4_add(sum, weight);
  }
  return sum_lanes(sum);
}

/** The sum of values [0, count) by weight, 16 dimensions at a time, positions in order. */
INLINE void mix(const float *weights, const float *values, float *y, int32_t count, int32_t head_size, float by) {
  v128_t factor = wasm_f32x4_splat(by);
  int32_t i = 0;
  for (; i + 32 <= head_size; i += 32) {
    v128_t total[8];
    for (int j = 0; j < 8; j++) total[j] = wasm_f32x4_splat(0);
    const float *value = values + i;
    for (int32_t t = 0; t < count; t++, value += head_size) {
      v128_t weight = wasm_v128_load32_splat(weights + t);
      for (int j = 0; j < 8; j++) total[j] = mul_add(weight, wasm_v128_load(value + 4 * j), total[j]);
    }
    for (int j = 0; j < 8; j++) wasm_v128_store(y + i + 4 * j, wasm_f32x4_mul(total[j], factor));
  }
  for (; i < head_size; i += 4) {
    v128_t total = wasm_f32x4_splat(0);
    for (int32_t t = 0; t < count; t++)
      total = mul_add(wasm_v128_load32_splat(weights + t), wasm_v128_load(values + (long)t * head_size + i), total);
    wasm_v128_store(y + i, wasm_f32x4_mul(total, factor));
  }
}

/**
 * Softmax attention of each row's queries over positions [0, its own] of its session. `keys[m]` and `values[m]` are the
 * stores of row m, `capacities[m]` (in fours) their length. `scratch` has room for the largest capacity. Softcap 0 is none.
 */
EXPORT(attend)
void attend(const float *q, int32_t q_stride, float *const *keys, float *const *values, const uint32_t *positions,
            const int32_t *capacities, float *y, int32_t y_stride, int32_t rows, int32_t heads, int32_t kv_heads,
            int32_t head_size, float scale, float softcap, float *scratch) {
  int32_t group = heads / kv_heads;
  for (int32_t h = 0; h < heads; h++) {
    for (int32_t m = 0; m < rows; m++) {
      long store = (long)(h / group) * capacities[m] * head_size;
      int32_t count = (int32_t)positions[m] + 1;
      score(q + (long)m * q_stride + h * head_size, keys[m] + store, scratch, count, head_size, scale, softcap);
      float sum = weigh(scratch, count);
      mix(scratch, values[m] + store, y + (long)m * y_stride + h * head_size, count, head_size, 1 / sum);
    }
  }
}
