// The product of two matrices, a register tile at a time:
//
//   out[row][column] (+)= start[column] + sum over d of left[row][d] * right[d][column]
//
// Rows of the left one are read where they lie. The right one is packed: panels of COLUMNS columns,
// each as [d][COLUMNS], zeros in the last panel behind its columns. Sums are float32.

#pragma once

#include <algorithm>

#include "vectors.h"

constexpr int64_t ROWS = LANES == 16 ? 12 : 6;  // of a register tile: twelve or 24 sums
constexpr int64_t COLUMNS = 2 * LANES;

INLINE int64_t panels(int64_t columns) { return (columns + COLUMNS - 1) / COLUMNS; }

// COUNT rows by one panel, or by the first of its HALVES. `columns` of the panel are stored; `add`
// to what is there already, and to `start` where that is not null. The left one's next number in
// depth is STEP behind.
template <int64_t COUNT, int64_t STEP, int64_t HALVES>
INLINE void product_tile(int64_t depth, const float* left, int64_t left_step, const float* panel,
                         float* out, int64_t out_step, int64_t columns, bool add,
                         const float* start) {
  Floats sum[COUNT][HALVES] = {};
  if (start)
    for (int64_t half = 0; half < HALVES; ++half) {
      const Floats first = load(start + half * LANES, columns - half * LANES);
      for (int64_t i = 0; i < COUNT; ++i) sum[i][half] = first;
    }
  for (int64_t d = 0; d < depth; ++d, panel += COLUMNS) {
    Floats right[HALVES];
    for (int64_t half = 0; half < HALVES; ++half) right[half] = load(panel + half * LANES);
    for (int64_t i = 0; i < COUNT; ++i) {
      const Floats each = all(left[i * left_step + d * STEP]);
      for (int64_t half = 0; half < HALVES; ++half) sum[i][half] += each * right[half];
    }
  }
  for (int64_t i = 0; i < COUNT; ++i)
    for (int64_t half = 0; half < HALVES; ++half) {
      float* to = out + i * out_step + half * LANES;
      const int64_t count = columns - half * LANES;
      store(to, add ? load(to, count) + sum[i][half] : sum[i][half], count);
    }
}

// All rows by one panel: the panel stays in the nearest cache while the rows pass.
template <int64_t COUNT = ROWS, int64_t STEP = 1>
static void product_panel(int64_t rows, int64_t depth, const float* left, int64_t left_step,
                          const float* panel, float* out, int64_t out_step, int64_t columns,
                          bool add, const float* start = nullptr) {
  for (; rows >= COUNT; rows -= COUNT, left += COUNT * left_step, out += COUNT * out_step)
    if (columns > LANES)
      product_tile<COUNT, STEP, 2>(depth, left, left_step, panel, out, out_step, columns, add,
                                   start);
    else
      product_tile<COUNT, STEP, 1>(depth, left, left_step, panel, out, out_step, columns, add,
                                   start);
  if constexpr (COUNT > 1)
    if (rows)
      product_panel<COUNT - 1, STEP>(rows, depth, left, left_step, panel, out, out_step, columns,
                                     add, start);
}
