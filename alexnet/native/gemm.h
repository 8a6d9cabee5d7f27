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

// COUNT rows by one panel. `columns` of the panel are stored; `add` to what is there already, and
// to `start` where that is not null. The left one's next number in depth is STEP behind.
template <int64_t COUNT, int64_t STEP = 1>
INLINE void product_tile(int64_t depth, const float* left, int64_t left_step, const float* panel,
                         float* out, int64_t out_step, int64_t columns, bool add,
                         const float* start = nullptr) {
  const int64_t rest = columns - LANES;
  Floats sum[COUNT][2] = {};
  if (start) {
    const Floats low = load(start, columns), high = rest > 0 ? load(start + LANES, rest) : Floats{};
    for (int64_t i = 0; i < COUNT; ++i) sum[i][0] = low, sum[i][1] = high;
  }
  for (int64_t d = 0; d < depth; ++d, panel += COLUMNS) {
    const Floats low = load(panel), high = load(panel + LANES);
    for (int64_t i = 0; i < COUNT; ++i) {
      const Floats each = all(left[i * left_step + d * STEP]);
      sum[i][0] += each * low;
      sum[i][1] += each * high;
    }
  }
  for (int64_t i = 0; i < COUNT; ++i) {
    float* to = out + i * out_step;
    store(to, add ? load(to, columns) + sum[i][0] : sum[i][0], columns);
    if (rest > 0) store(to + LANES, add ? load(to + LANES, rest) + sum[i][1] : sum[i][1], rest);
  }
}

// All rows by one panel: the panel stays in the nearest cache while the rows pass.
template <int64_t COUNT = ROWS, int64_t STEP = 1>
static void product_panel(int64_t rows, int64_t depth, const float* left, int64_t left_step,
                          const float* panel, float* out, int64_t out_step, int64_t columns,
                          bool add, const float* start = nullptr) {
  for (; rows >= COUNT; rows -= COUNT, left += COUNT * left_step, out += COUNT * out_step)
    product_tile<COUNT, STEP>(depth, left, left_step, panel, out, out_step, columns, add, start);
  if constexpr (COUNT > 1)
    if (rows)
      product_panel<COUNT - 1, STEP>(rows, depth, left, left_step, panel, out, out_step, columns,
                                     add, start);
}
