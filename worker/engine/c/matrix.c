// Packed weights: how they come from a file, back to f32, and times rows of activations.
#include "matrix.h"

/** Bytes of one row's block: the low 4 bits (or all 8), and the bits above them. */
INLINE int32_t low_bytes(int32_t bits) { return bits == 8 ? 32 : 16; }
INLINE int32_t high_bytes(int32_t bits) { return bits == 5 ? 4 : bits == 6 ? 8 : 0; }

/**
 * Packs `rows` rows (up to four, the others zeros) of `blocks` × 32 quants, one a byte, into the tile `tile` of `w`.
 * `source` holds them row after row.
 */
EXPORT(pack_tile)
void pack_tile(const Matrix *w, int32_t tile, const uint8_t *source, int32_t rows) {
  int32_t bits = w->bits, low = low_bytes(bits), top = high_bytes(bits);
  uint8_t *quants = (uint8_t *)w->quants + (long)tile * w->blocks * 4 * low;
  uint8_t *high = (uint8_t *)w->high + (long)tile * w->blocks * 4 * top;
  for (int32_t b = 0; b < w->blocks; b++) {
    for (int32_t row = 0; row < 4; row++, quants += low, high += top) {
      const uint8_t *in = source + ((long)row * w->blocks + b) * BLOCK;
      for (int32_t i = 0; i < low; i++) quants[i] = 0;
      for (int32_t i = 0; i < top; i++) high[i] = 0;
      if (row >= rows) continue;
      for (int32_t column = 0; column < BLOCK; column++) {
        int32_t lane = column >> 2, vector = column & 3, quant = in[column];
        if (bits == 8) quants[8 * vector + lane] = (uint8_t)quant;
        else quants[2 * lane + (vector >> 1)] |= (uint8_t)((quant & 15) << (4 * (vector & 1)));
        if (bits == 5) high[lane >> 1] |= (uint8_t)((quant >> 4) << (4 * (lane & 1) + vector));
        if (bits == 6) high[lane] |= (uint8_t)((quant >> 4) << (2 * vector));
      }
    }
  }
}

/** The quants of one row's block as four vectors of int16, in the order that activations have. */
INLINE void unpack(int32_t bits, const uint8_t *quants, const uint8_t *high, v128_t out[4]) {
  if (bits == 8) {
    for (int j = 0; j < 4; j++) out[j] = wasm_u16x8_load8x8(quants + 8 * j);
    return;
  }
  v128_t packed = wasm_v128_load(quants), mask = wasm_i16x8_splat(15);
  out[0] = wasm_v128_and(packed, mask);
  out[1] = wasm_v128_and(wasm_u16x8_shr(packed, 4), mask);
  out[2] = wasm_v128_and(wasm_u16x8_shr(packed, 8), mask);
  out[3] = wasm_u16x8_shr(packed, 12);
  if (bits == 6) {
    v128_t above = wasm_u16x8_load8x8(high), two = wasm_i16x8_splat(3 << 4);
    out[0] = wasm_v128_or(out[0], wasm_v128_and(wasm_i16x8_shl(above, 4), two));
    out[1] = wasm_v128_or(out[1], wasm_v128_and(wasm_i16x8_shl(above, 2), two));
    out[2] = wasm_v128_or(out[2], wasm_v128_and(above, two));
    out[3] = wasm_v128_or(out[3], wasm_v128_and(wasm_u16x8_shr(above, 2), two));
  }
  if (bits == 5) {
    // Each byte has a bit for each vector, of one lane below and of the next one above.
    v128_t bytes = wasm_v128_load32_zero(high);
    v128_t twice = wasm_u16x8_extend_low_u8x16(wasm_i8x16_shuffle(bytes, bytes, 0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0));
    v128_t above = wasm_i16x8_mul(twice, wasm_i16x8_make(16, 1, 16, 1, 16, 1, 16, 1)), one = wasm_i16x8_splat(16);
    out[0] = wasm_v128_or(out[0], wasm_v128_and(above, one));
    out[1] = wasm_v128_or(out[1], wasm_v128_and(wasm_u16x8_shr(above, 1), one));
    out[2] = wasm_v128_or(out[2], wasm_v128_and(wasm_u16x8_shr(above, 2), one));
    out[3] = wasm_v128_or(out[3], wasm_v128_and(wasm_u16x8_shr(above, 3), one));
  }
}

/** Scales and offsets of one tile as vectors of its four rows; `step` is 0 where all groups share one vector. */
typedef struct {
  const v128_t *scales;
  const v128_t *offsets;
  int32_t offset_step;
} Tile;

INLINE int32_t groups_of(const Matrix *w) {
  return w->halves == 2 ? 2 * w->blocks : (w->blocks + (1 << w->group_shift) - 1) >> w->group_shift;
}

INLINE v128_t signed_bytes(const void *from) {
  return wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(from))));
}

INLINE v128_t unsigned_bytes(const void *from) {
  return wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(from)));
}

/** Reads a tile's scales and offsets, into `scratch` (2 × groups + 1 vectors) where the matrix does not hold them as f32. */
INLINE Tile read_tile(const Matrix *w, int32_t tile, v128_t *scratch) {
  int32_t groups = groups_of(w), at = tile * groups * 4, per_super = w->halves == 2 ? 16 : 8;
  int32_t supers = (w->blocks + 7) / 8;
  v128_t *scales = scratch, *offsets = scratch + groups;
  const uint16_t *scale_supers = w->scale_supers + (long)tile * supers * 4;
  const uint16_t *minimum_supers = w->minimum_supers + (long)tile * supers * 4;
  Tile read = {scales, offsets, 1};
  if (w->scale_kind == SCALE_F32) read.scales = (const v128_t *)((const float *)w->scales + at);
  for (int32_t g = 0; g < groups && w->scale_kind != SCALE_F32; g++) {
    if (w->scale_kind == SCALE_F16) scales[g] = load_halves((const uint16_t *)w->scales + at + 4 * g);
    else
      scales[g] = wasm_f32x4_mul(load_halves(scale_supers + 4 * (g / per_super)),
                                 signed_bytes((const int8_t *)w->scales + at + 4 * g));
  }
  if (w->offset_kind == ZERO_CONSTANT) {
    offsets[0] = wasm_i32x4_splat(w->zero);
    read.offset_step = 0;
  }
  if (w->offset_kind == MINIMUM_F32) read.offsets = (const v128_t *)((const float *)w->offsets + at);
  for (int32_t g = 0; g < groups; g++) {
    if (w->offset_kind == ZERO_U8) offsets[g] = unsigned_bytes((const uint8_t *)w->offsets + at + 4 * g);
    if (w->offset_kind == MINIMUM_F16) offsets[g] = load_halves((const uint16_t *)w->offsets + at + 4 * g);
    if (w->offset_kind == MINIMUM_SUPER)
      offsets[g] = wasm_f32x4_neg(
          wasm_f32x4_mul(load_halves(minimum_supers + 4 * (g / per_super)),
                         wasm_f32x4_convert_i32x4(unsigned_bytes((const uint8_t *)w->offsets + at + 4 * g))));
  }
  return read;
}

/** The integer products of a row's block with a block of activations, in four lanes whose sum is wanted. */
INLINE v128_t dot(const v128_t weights[4], const v128_t x[4]) {
  return wasm_i32x4_add(wasm_i32x4_add(wasm_i32x4_dot_i16x8(weights[0], x[0]), wasm_i32x4_dot_i16x8(weights[1], x[1])),
                        wasm_i32x4_add(wasm_i32x4_dot_i16x8(weights[2], x[2]), wasm_i32x4_dot_i16x8(weights[3], x[3])));
}

/** One block's four dots as four sums; lanes 0 and 1 of a dot are the first 16 columns. */
INLINE void sums_of_halves(const v128_t d[4], v128_t *first, v128_t *second) {
  v128_t low_a = wasm_i32x4_shuffle(d[0], d[1], 0, 4, 1, 5), low_b = wasm_i32x4_shuffle(d[2], d[3], 0, 4, 1, 5);
  v128_t high_a = wasm_i32x4_shuffle(d[0], d[1], 2, 6, 3, 7), high_b = wasm_i32x4_shuffle(d[2], d[3], 2, 6, 3, 7);
  *first = wasm_i32x4_add(wasm_i64x2_shuffle(low_a, low_b, 0, 2), wasm_i64x2_shuffle(low_a, low_b, 1, 3));
  *second = wasm_i32x4_add(wasm_i64x2_shuffle(high_a, high_b, 0, 2), wasm_i64x2_shuffle(high_a, high_b, 1, 3));
}

INLINE v128_t sums(const v128_t d[4]) {
  v128_t a = wasm_i32x4_add(wasm_i32x4_shuffle(d[0], d[1], 0, 4, 1, 5), wasm_i32x4_shuffle(d[0], d[1], 2, 6, 3, 7));
  v128_t b = wasm_i32x4_add(wasm_i32x4_shuffle(d[2], d[3], 0, 4, 1, 5), wasm_i32x4_shuffle(d[2], d[3], 2, 6, 3, 7));
  return wasm_i32x4_add(wasm_i64x2_shuffle(a, b, 0, 2), wasm_i64x2_shuffle(a, b, 1, 3));
}

/** Adds one group's part to the four rows' results: the only float steps of a product, in one order. */
INLINE v128_t add_group(v128_t total, v128_t products, int32_t sum, float x_scale, v128_t scale, v128_t offset,
                        int32_t has_minimum) {
  v128_t x = wasm_f32x4_splat(x_scale);
  if (!has_minimum) {
    v128_t centred = wasm_i32x4_sub(products, wasm_i32x4_mul(offset, wasm_i32x4_splat(sum)));
    return wasm_f32x4_add(total, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(centred), wasm_f32x4_mul(scale, x)));
  }
  total = wasm_f32x4_add(total, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(products), wasm_f32x4_mul(scale, x)));
  return wasm_f32x4_add(total, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_splat(sum)), wasm_f32x4_mul(offset, x)));
}

INLINE v128_t add_block(v128_t total, const v128_t dots[4], const int32_t *x_sums, float x_scale, Tile tile,
                        int32_t block, int32_t halves, int32_t group_shift, int32_t has_minimum) {
  if (halves == 1) {
    int32_t g = block >> group_shift;
    return add_group(total, sums(dots), x_sums[0] + x_sums[1], x_scale, tile.scales[g],
                     tile.offsets[g * tile.offset_step], has_minimum);
  }
  v128_t first, second;
  sums_of_halves(dots, &first, &second);
  int32_t g = 2 * block;
  total = add_group(total, first, x_sums[0], x_scale, tile.scales[g], tile.offsets[g * tile.offset_step], has_minimum);
  g += 1;
  return add_group(total, second, x_sums[1], x_scale, tile.scales[g], tile.offsets[g * tile.offset_step], has_minimum);
}

/** Stores the results of a tile's rows, of which a matrix's last tile may have fewer than four. */
INLINE void store_rows(float *to, v128_t values, int32_t rows) {
  if (rows >= 4) {
    wasm_v128_store(to, values);
    return;
  }
  to[0] = wasm_f32x4_extract_lane(values, 0);
  if (rows > 1) to[1] = wasm_f32x4_extract_lane(values, 1);
  if (rows > 2) to[2] = wasm_f32x4_extract_lane(values, 2);
}

/** `multiply` for constant `bits`, `halves` and `has_minimum`, so that the compiler makes a kernel of each. */
INLINE void multiply_as(int32_t bits, int32_t halves, int32_t has_minimum, const Matrix *w, const int16_t *quants,
                        const float *scales, const int32_t *x_sums, float *y, int32_t stride, int32_t rows,
                        v128_t *scratch) {
  int32_t blocks = w->blocks, low = low_bytes(bits), top = high_bytes(bits), shift = w->group_shift;
  v128_t *weights = scratch + 2 * groups_of(w) + 1;
  for (int32_t r = 0, t = 0; r < w->rows; r += 4, t++) {
    const uint8_t *packed = w->quants + (long)t * blocks * 4 * low, *high = w->high + (long)t * blocks * 4 * top;
    Tile tile = read_tile(w, t, scratch);
    if (rows == 1) {
      v128_t total = wasm_f32x4_splat(0);
      for (int32_t b = 0; b < blocks; b++, packed += 4 * low, high += 4 * top) {
        v128_t x[4], dots[4];
        for (int j = 0; j < 4; j++) x[j] = wasm_v128_load(quants + b * BLOCK + 8 * j);
        for (int z = 0; z < 4; z++) {
          v128_t row[4];
          unpack(bits, packed + z * low, high + z * top, row);
          dots[z] = dot(row, x);
        }
        total = add_block(total, dots, x_sums + 2 * b, scales[b], tile, b, halves, shift, has_minimum);
      }
      store_rows(y + r, total, w->rows - r);
      continue;
    }
    for (int32_t i = 0; i < 4 * blocks; i++) unpack(bits, packed + i * low, high + i * top, weights + 4 * i);
    for (int32_t m = 0; m < rows; m++) {
      v128_t total = wasm_f32x4_splat(0);
      const int16_t *from = quants + (long)m * blocks * BLOCK;
      const float *x_scales = scales + (long)m * blocks;
      const int32_t *sums_of_row = x_sums + (long)m * blocks * 2;
      const v128_t *block = weights;
      for (int32_t b = 0; b < blocks; b++, block += 16) {
        v128_t x[4], dots[4];
        for (int j = 0; j < 4; j++) x[j] = wasm_v128_load(from + b * BLOCK + 8 * j);
        for (int z = 0; z < 4; z++) dots[z] = dot(block + 4 * z, x);
        total = add_block(total, dots, sums_of_row + 2 * b, x_scales[b], tile, b, halves, shift, has_minimum);
      }
      store_rows(y + (long)m * stride + r, total, w->rows - r);
    }
  }
}

#define KERNEL(BITS, HALVES) \
  if (w->bits == BITS && w->halves == HALVES) { \
    if (is_minimum(w)) multiply_as(BITS, HALVES, 1, w, quants, scales, x_sums, y, stride, rows, scratch); \
    else multiply_as(BITS, HALVES, 0, w, quants, scales, x_sums, y, stride, rows, scratch); \
  }

/**
 * y = x · wᵀ for `rows` rows of activations as `quantize` made them; y is f32, its rows `stride` apart. `scratch` has
 * room for 2 × groups + 1 + 16 × blocks vectors. A row's bits do not depend on the others.
 */
EXPORT(multiply)
void multiply(const Matrix *w, const int16_t *quants, const float *scales, const int32_t *x_sums, float *y,
              int32_t stride, int32_t rows, v128_t *scratch) {
  KERNEL(4, 1)
  KERNEL(5, 1)
  KERNEL(8, 1)
  KERNEL(4, 2)
  KERNEL(6, 2)
  KERNEL(8, 2)
}

/** Rows `ids` of the matrix as f32, `stride` apart: the weights as their file defines them, bit for bit. */
EXPORT(unfold)
void unfold(const Matrix *w, const uint32_t *ids, float *y, int32_t stride, int32_t rows, v128_t *scratch) {
  int32_t bits = w->bits, low = low_bytes(bits), top = high_bytes(bits);
  for (int32_t m = 0; m < rows; m++) {
    int32_t t = (int32_t)(ids[m] / 4), z = (int32_t)(ids[m] % 4);
    Tile tile = read_tile(w, t, scratch);
    for (int32_t b = 0; b < w->blocks; b++) {
      int32_t at = (t * w->blocks + b) * 4 + z;
      v128_t vectors[4];
      int16_t values[4][8];
      if (bits == 8) unpack(8, w->quants + (long)at * low, 0, vectors);
      else if (bits == 6) unpack(6, w->quants + (long)at * low, w->high + (long)at * top, vectors);
      else if (bits == 5) unpack(5, w->quants + (long)at * low, w->high + (long)at * top, vectors);
      else unpack(4, w->quants + (long)at * low, 0, vectors);
      for (int j = 0; j < 4; j++) wasm_v128_store(values[j], vectors[j]);
      for (int32_t column = 0; column < BLOCK; column++) {
        int32_t g = w->halves == 2 ? 2 * b + column / 16 : b >> w->group_shift;
        int32_t quant = values[column & 3][column >> 2];
        float scale = ((const float *)(tile.scales + g))[z];
        const void *offset = tile.offsets + g * tile.offset_step;
        y[(long)m * stride + b * BLOCK + column] = is_minimum(w) ? (float)quant * scale + ((const float *)offset)[z]
                                                                 : (float)(quant - ((const int32_t *)offset)[z]) * scale;
      }
    }
  }
}
