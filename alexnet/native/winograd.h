// What the compiled Winograd convolutions share: the description, and tiles of pictures brought to
// the points of cook_toom.h. 3x3 kernels, stride 1, pixels stored channels last.

#pragma once

#include <algorithm>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cook_toom.h"
#include "gemm.h"

struct Winograd {
  int64_t n, h, w, c;                 // x
  int64_t k, out_h, out_w;            // y
  int64_t padding_h, padding_w;       // before the first row and column
  int64_t groups, m, block, threads;  // block: tiles that pass all points together
  // Elements between two kernels, channels, taps and groups of the weights; whether their taps come
  // in the opposite order.
  int64_t kernel_step, channel_step, tap_step, group_step, turned;
};

// Floats from one row of tiles to the next, and from one point to the next: with a power of two
// between them, all would lie in the same few lines of the nearest cache.
INLINE int64_t apart(int64_t floats) { return (floats + 31) / 32 * 32 + 16; }

// Asks for memory in large pages before it is written to first. The points of 512 x 512 kernels
// are on 9,000 small ones, which the system hands out and clears one by one: with 16 pictures of
// 14 x 14 that took 30 of 105 ms.
INLINE void take_large_pages([[maybe_unused]] float* from, [[maybe_unused]] int64_t floats) {
#if defined(__linux__)
  const uintptr_t page = 4096, begin = (uintptr_t(from) + page - 1) / page * page;
  const uintptr_t end = uintptr_t(from + floats) / page * page;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// A square of pixels of one picture, of which some may lie outside.
struct Square {
  int64_t row, column;                                   // of the first pixel
  int64_t first_row, end_row, first_column, end_column;  // those inside, from the first pixel

  Square(int64_t row, int64_t column, int64_t size, int64_t h, int64_t w)
      : row(row), column(column), first_row(std::max<int64_t>(0, -row)),
        end_row(std::min(size, h - row)), first_column(std::max<int64_t>(0, -column)),
        end_column(std::min(size, w - column)) {}

  bool is_inside(int64_t size) const {
    return !first_row && !first_column && end_row == size && end_column == size;
  }
};

// SIZE x SIZE pixels of LANES channels to N x N points, stored `plane` apart. `points` is one of
// the functions of cook_toom.h, `pixel(i, j)` gives the pixel of row i and column j.
template <int N, int SIZE, typename Points, typename Pixel>
INLINE void square_to_points(Points points, Pixel pixel, float* out, int64_t plane) {
  Floats half[N][SIZE];
  for (int j = 0; j < SIZE; ++j) {
    Floats column[SIZE], at[N];
    for (int i = 0; i < SIZE; ++i) column[i] = pixel(i, j);
    points(column, at);
    for (int i = 0; i < N; ++i) half[i][j] = at[i];
  }
  for (int i = 0; i < N; ++i) {
    Floats at[N];
    points(half[i], at);
    for (int j = 0; j < N; ++j) store(out + (i * N + j) * plane, at[j]);
  }
}

// The same for `channels` channels of a square of a picture x (h, w, c); zeros outside. They are
// stored in panels of COLUMNS, `panel` apart.
template <int N, int SIZE, typename Points, typename T>
INLINE void picture_to_points(Points points, const T* x, const Square& square, int64_t w,
                              int64_t c, int64_t channels, float* out, int64_t plane,
                              int64_t panel = COLUMNS) {
  x += (square.row * w + square.column) * c;
  const bool inside = square.is_inside(SIZE);
  Floats part[SIZE][SIZE] = {};
  for (int64_t first = 0; first < channels; first += LANES) {
    const int64_t count = channels - first;
    float* to = out + first / COLUMNS * panel + first % COLUMNS;
    if (inside && count >= LANES) {
      const auto pixel = [&](int i, int j) { return load(x + (i * w + j) * c + first); };
      square_to_points<N, SIZE>(points, pixel, to, plane);
      continue;
    }
    for (int64_t i = square.first_row; i < square.end_row; ++i)
      for (int64_t j = square.first_column; j < square.end_column; ++j)
        part[i][j] = load(x + (i * w + j) * c + first, count);
    const auto pixel = [&](int i, int j) { return part[i][j]; };
    square_to_points<N, SIZE>(points, pixel, to, plane);
  }
}
