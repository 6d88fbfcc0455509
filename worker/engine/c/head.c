// From logits to rows of candidates: the log-sum-exp, and the best tokens.
#include "functions.h"

/** The natural logarithm of a positive normal number, to the last bits of binary64. */
static double log_of(double x) {
  union {
    double value;
    uint64_t bits;
  } u = {.value = x};
  int64_t exponent = (int64_t)(u.bits >> 52) - 1023;
  u.bits = (u.bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
  if (u.value > 1.4142135623730951) {
    u.value *= 0.5;
    exponent += 1;
  }
  // log m = 2 atanh s for s = (m - 1) / (m + 1), of which the series has |s| < 0.172.
  double s = (u.value - 1) / (u.value + 1), square = s * s, sum = 0;
  for (int k = 23; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
  return (double)exponent * 0.6931471805599453 + 2 * s * sum;
}

/** One row as JavaScript's encodeCandidates has it: f32 log-sum-exp, then `count` pairs of u32 id and f32 logit. */
INLINE void best_of(const float *logits, int32_t vocabulary, int32_t count, uint32_t *out) {
  uint32_t *ids = out + 1;
  float *values = (float *)(out + 2);
  int32_t filled = 0;
  float least = -__builtin_inff();
  for (int32_t id = 0; id < vocabulary; id++) {
    // Nearly all logits fail this; of equal ones the earlier stays before the later.
    if (filled == count && !(logits[id] > least)) continue;
    float value = logits[id] == logits[id] ? logits[id] : -__builtin_inff();
    int32_t slot = filled < count ? filled++ : count - 1;
    for (; slot > 0 && value > values[2 * (slot - 1)]; slot--) {
      ids[2 * slot] = ids[2 * (slot - 1)];
      values[2 * slot] = values[2 * (slot - 1)];
    }
    ids[2 * slot] = (uint32_t)id;
    values[2 * slot] = value;
    least = values[2 * (count - 1)];
  }
}

/** largest + log Σ e^(logit - largest), summed in binary64 from id 0 up by two lanes of two; NaN counts as nothing. */
INLINE float log_sum_exp(const float *logits, int32_t vocabulary, float largest) {
  if (!(largest - largest == 0)) return largest;
  v128_t even = wasm_f64x2_splat(0), odd = wasm_f64x2_splat(0), top = wasm_f32x4_splat(largest);
  int32_t id = 0;
  for (; id + 4 <= vocabulary; id += 4) {
    v128_t x = wasm_v128_load(logits + id);
    v128_t e = wasm_v128_and(exp4(wasm_f32x4_sub(x, top)), wasm_f32x4_eq(x, x));
    even = wasm_f64x2_add(even, wasm_f64x2_promote_low_f32x4(e));
    odd = wasm_f64x2_add(odd, wasm_f64x2_promote_low_f32x4(wasm_i64x2_shuffle(e, e, 1, 1)));
  }
  double sum = (wasm_f64x2_extract_lane(even, 0) + wasm_f64x2_extract_lane(even, 1)) +
               (wasm_f64x2_extract_lane(odd, 0) + wasm_f64x2_extract_lane(odd, 1));
  for (; id < vocabulary; id++) {
    if (logits[id] != logits[id]) continue;
    sum += wasm_f32x4_extract_lane(exp4(wasm_f32x4_splat(logits[id] - largest)), 0);
  }
  return (float)((double)largest + log_of(sum));
}

/** Rows of candidates, 1 + 2 × count words each, from logits f32 [rows, vocabulary], `stride` apart. */
EXPORT(candidates)
void candidates(const float *logits, int32_t stride, int32_t rows, int32_t vocabulary, int32_t count, uint32_t *out) {
  for (int32_t m = 0; m < rows; m++, out += 1 + 2 * count) {
    const float *row = logits + (long)m * stride;
    best_of(row, vocabulary, count, out);
    ((float *)out)[0] = log_sum_exp(row, vocabulary, ((float *)out)[2]);
  }
}

/** Makes every NaN the one NaN 0x7fc00000, whose bits a machine would choose else. */
EXPORT(settle_nan)
void settle_nan(float *x, int32_t count) {
  for (int32_t i = 0; i < count; i += 4) {
    v128_t v = wasm_v128_load(x + i);
    wasm_v128_store(x + i, wasm_v128_bitselect(v, wasm_i32x4_splat(0x7fc00000), wasm_f32x4_eq(v, v)));
  }
}
