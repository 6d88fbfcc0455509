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

/** Positions whose keys or values stay in the nearest cache while all queries of a group pass over them. */
enum { TILE = 16 };
/** Queries that pass together, at most (or one row's, where a group is larger). */
enum { QUERIES = 96 };

/** Scaled products of one query with keys [0, count), four keys at a time; those beyond the last position are nobody's. */
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

/** Adds values [0, count) by weight to y, positions in order. */
INLINE void mix(const float *weights, const float *values, float *y, int32_t count, int32_t head_size) {
  int32_t i = 0;
  for (; i + 32 <= head_size; i += 32) {
    v128_t total[8];
    for (int j = 0; j < 8; j++) total[j] = wasm_v128_load(y + i + 4 * j);
    const float *value = values + i;
    for (int32_t t = 0; t < count; t++, value += head_size) {
      v128_t weight = wasm_v128_load32_splat(weights + t);
      for (int j = 0; j < 8; j++) total[j] = mul_add(weight, wasm_v128_load(value + 4 * j), total[j]);
    }
    for (int j = 0; j < 8; j++) wasm_v128_store(y + i + 4 * j, total[j]);
  }
  for (; i < head_size; i += 4) {
    v128_t total = wasm_v128_load(y + i);
    for (int32_t t = 0; t < count; t++)
      total = mul_add(wasm_v128_load32_splat(weights + t), wasm_v128_load(values + (long)t * head_size + i), total);
    wasm_v128_store(y + i, total);
  }
}

/** The queries of rows [first, end) that one head of keys and values answers. */
typedef struct {
  const float *q;
  float *y;
  int32_t q_stride, y_stride, first, end, head, group, head_size, width;
  float *const *keys, *const *values;
  const uint32_t *positions;
  const int32_t *capacities;
  float *scratch;
} Group;

INLINE int32_t reach_of(const Group *of) {
  int32_t reach = 0;
  for (int32_t m = of->first; m < of->end; m++)
    if ((int32_t)of->positions[m] + 1 > reach) reach = (int32_t)of->positions[m] + 1;
  return reach;
}

/** A query's scores, then weights; the float behind them is 1 / their sum. */
INLINE float *scores_of(const Group *of, int32_t row, int32_t g) {
  return of->scratch + ((long)(row - of->first) * of->group + g) * of->width;
}

INLINE void attend_group(const Group *of, float scale, float softcap) {
  int32_t size = of->head_size, reach = reach_of(of);
  for (int32_t start = 0; start < reach; start += TILE) {
    for (int32_t m = of->first; m < of->end; m++) {
      int32_t count = (int32_t)of->positions[m] + 1 - start;
      if (count <= 0) continue;
      const float *keys = of->keys[m] + ((long)of->head * of->capacities[m] + start) * size;
      const float *query = of->q + (long)m * of->q_stride + of->head * of->group * size;
      for (int32_t g = 0; g < of->group; g++)
        score(query + g * size, keys, scores_of(of, m, g) + start, count < TILE ? count : TILE, size, scale, softcap);
    }
  }
  for (int32_t m = of->first; m < of->end; m++) {
    for (int32_t g = 0; g < of->group; g++) {
      float *scores = scores_of(of, m, g), *y = of->y + (long)m * of->y_stride + (of->head * of->group + g) * size;
      scores[of->width - 1] = 1 / weigh(scores, (int32_t)of->positions[m] + 1);
      for (int32_t i = 0; i < size; i += 4) wasm_v128_store(y + i, wasm_f32x4_splat(0));
    }
  }
  for (int32_t start = 0; start < reach; start += TILE) {
    for (int32_t m = of->first; m < of->end; m++) {
      int32_t count = (int32_t)of->positions[m] + 1 - start;
      if (count <= 0) continue;
      const float *values = of->values[m] + ((long)of->head * of->capacities[m] + start) * size;
      float *y = of->y + (long)m * of->y_stride + of->head * of->group * size;
      for (int32_t g = 0; g < of->group; g++)
        mix(scores_of(of, m, g) + start, values, y + g * size, count < TILE ? count : TILE, size);
    }
  }
  for (int32_t m = of->first; m < of->end; m++) {
    for (int32_t g = 0; g < of->group; g++) {
      float *y = of->y + (long)m * of->y_stride + (of->head * of->group + g) * size;
      v128_t factor = wasm_f32x4_splat(scores_of(of, m, g)[of->width - 1]);
      for (int32_t i = 0; i < size; i += 4) wasm_v128_store(y + i, wasm_f32x4_mul(wasm_v128_load(y + i), factor));
    }
  }
}

/**
 * Softmax attention of each row's queries over positions [0, its own] of its session. `keys[m]` and `values[m]` are the
 * stores of row m, `capacities[m]` (in fours) their length. `scratch` has room for the larger of QUERIES and heads / kv_heads
 * times 4 floats more than the largest capacity. Softcap 0 is none.
 */
EXPORT(attend)
void attend(const float *q, int32_t q_stride, float *const *keys, float *const *values, const uint32_t *positions,
            const int32_t *capacities, float *y, int32_t y_stride, int32_t rows, int32_t heads, int32_t kv_heads,
            int32_t head_size, float scale, float softcap, float *scratch) {
  int32_t group = heads / kv_heads, step = group < QUERIES ? QUERIES / group : 1;
  int32_t width = 0;
  for (int32_t m = 0; m < rows; m++)
    if (capacities[m] + 4 > width) width = capacities[m] + 4;
  for (int32_t first = 0; first < rows; first += step) {
    for (int32_t head = 0; head < kv_heads; head++) {
      int32_t end = first + step < rows ? first + step : rows;
      Group of = {q, y, q_stride, y_stride, first, end, head, group, head_size, width, keys, values, positions, capacities, scratch};
      attend_group(&of, scale, softcap);
    }
  }
}
