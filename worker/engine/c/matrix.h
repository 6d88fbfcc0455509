#pragma once
#include "activations.h"

enum ScaleKind { SCALE_F32, SCALE_F16, SCALE_SUPER };
enum OffsetKind { ZERO_CONSTANT, ZERO_U8, MINIMUM_F32, MINIMUM_F16, MINIMUM_SUPER };

/**
 * A matrix of packed weights, four rows (a tile) beside each other, so that a tile is read from front to back:
 *
 *   quants   [tile][block][row of four][16 bytes], or 32 bytes at 8 bits; high [tile][block][row][4 or 8 bytes] at 5 and 6
 *   scales   [tile][group][row]; a group is 16 columns, or 32 << group_shift
 *   offsets  the same; a zero point to take from the quant, or a minimum to add to scale × quant
 *   supers   with SCALE_SUPER and MINIMUM_SUPER, where scales and offsets are 8 bits: f16 [tile][8 blocks][row]
 *
 * A weight is (quant - zero) × scale, or quant × scale + minimum, each operation rounded to f32. JavaScript fills this in.
 */
typedef struct {
  const uint8_t *quants;
  const uint8_t *high;
  const void *scales;
  const void *offsets;
  const uint16_t *scale_supers;
  const uint16_t *minimum_supers;
  int32_t rows;
  int32_t blocks;
  int32_t bits;
  /** 1, or 2 where each 16 columns have a scale. */
  int32_t halves;
  int32_t group_shift;
  int32_t scale_kind;
  int32_t offset_kind;
  int32_t zero;
} Matrix;

INLINE int32_t is_minimum(const Matrix *w) { return w->offset_kind >= MINIMUM_F32; }
