// Fully connected layers, whose cost for few pictures is to bring the weights from memory:
//
//   y = x @ weights^T * scale + bias,   then max(y, 0) if relu
//
// Weights (out, in) lie row by row: float32, bfloat16 or int8, widened as they are read, so that
// a quarter of the bytes takes a quarter of the time. Sums are float32. scale (out) undoes the
// quantisation of a row; bias (out) may be null.
//
// A block of rows comes from memory once and meets all pictures. Summing over all inputs in
// registers measured faster than in stretches whose inputs fit the first-level cache.

#include <algorithm>

#include "vectors.h"

struct Linear {
  int64_t n, in, out, relu;
};

constexpr int64_t ROWS = 24;  // of a block; the rows of each tile divide it

namespace {

// Twelve sums hide the latency of the multiply-add and leave registers for the factors.
template <int N>
constexpr int TILE_ROWS = N == 1 ? 8 : 12 / N;

INLINE float add_lanes(Floats floats) {
  float sum = 0;
  for (int lane = 0; lane < LANES; ++lane) sum += floats[lane];
  return sum;
}

// sums[n][row] = sum of x[n][i] * weights[row][i]
template <int N, int R, typename W, typename T>
INLINE void tile(const Linear& op, const T* x, const W* weights, float* sums) {
  Floats sum[N][R] = {};
  int64_t i = 0;
  for (; i + LANES <= op.in; i += LANES) {
    Floats a[N];
    for (int n = 0; n < N; ++n) a[n] = load(x + n * op.in + i);
    for (int row = 0; row < R; ++row) {
      Floats w = load(weights + row * op.in + i);
      for (int n = 0; n < N; ++n) sum[n][row] += a[n] * w;
    }
  }
  if (i < op.in)
    for (int row = 0; row < R; ++row) {
      Floats w = load(weights + row * op.in + i, op.in - i);
      for (int n = 0; n < N; ++n) sum[n][row] += load(x + n * op.in + i, op.in - i) * w;
    }
  for (int n = 0; n < N; ++n)
    for (int row = 0; row < R; ++row) sums[n * ROWS + row] = add_lanes(sum[n][row]);
}

// y of N pictures and the rows from `first` to `last`
template <int N, typename W, typename T>
void tiles(const Linear& op, const T* x, const W* weights, const float* scale, const float* bias,
           T* y, int64_t first, int64_t last) {
  constexpr int R = TILE_ROWS<N>;
  float sums[N * ROWS];
  int64_t row = first;
  for (; row + R <= last; row += R)
    tile<N, R>(op, x, weights + row * op.in, sums + row - first);
  for (; row < last; ++row) tile<N, 1>(op, x, weights + row * op.in, sums + row - first);
  for (int n = 0; n < N; ++n)
    for (int64_t i = first; i < last; i += LANES) {
      const int64_t count = last - i;
      Floats sum = load(sums + n * ROWS + i - first, count) * load(scale + i, count);
      if (bias) sum += load(bias + i, count);
      store(y + n * op.out + i, op.relu ? relu(sum) : sum, count);
    }
}

template <typename W, typename T>
void linear(const Linear& op, const T* x, const W* weights, const float* scale, const float* bias,
            T* y) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t first = 0; first < op.out; first += ROWS) {
    const int64_t last = std::min(first + ROWS, op.out);
    for (int64_t n = 0; n < op.n; n += 4) {
      const T* from = x + n * op.in;
      T* to = y + n * op.out;
      switch (op.n - n) {
        case 1: tiles<1>(op, from, weights, scale, bias, to, first, last); break;
        case 2: tiles<2>(op, from, weights, scale, bias, to, first, last); break;
        case 3: tiles<3>(op, from, weights, scale, bias, to, first, last); break;
        default: tiles<4>(op, from, weights, scale, bias, to, first, last);
      }
    }
  }
}

}  // namespace

// linear_WEIGHTS_ACTIVATIONS
extern "C" {

void linear_float32_float32(const Linear* op, const float* x, const float* weights,
                            const float* scale, const float* bias, float* y) {
  linear(*op, x, weights, scale, bias, y);
}

void linear_float32_bfloat16(const Linear* op, const bfloat16* x, const float* weights,
                             const float* scale, const float* bias, bfloat16* y) {
  linear(*op, x, weights, scale, bias, y);
}

void linear_bfloat16_float32(const Linear* op, const float* x, const bfloat16* weights,
                             const float* scale, const float* bias, float* y) {
  linear(*op, x, weights, scale, bias, y);
}

void linear_bfloat16_bfloat16(const Linear* op, const bfloat16* x, const bfloat16* weights,
                              const float* scale, const float* bias, bfloat16* y) {
  linear(*op, x, weights, scale, bias, y);
}

void linear_int8_float32(const Linear* op, const float* x, const int8_t* weights,
                         const float* scale, const float* bias, float* y) {
  linear(*op, x, weights, scale, bias, y);
}

void linear_int8_bfloat16(const Linear* op, const bfloat16* x, const int8_t* weights,
                          const float* scale, const float* bias, bfloat16* y) {
  linear(*op, x, weights, scale, bias, y);
}
}
