// The transforms of Winograd's convolution F(M, R), which computes M outputs of a correlation with
// R taps by N = M + R - 1 multiplications instead of M * R:
//
//   y = A^T [(G g) * (B^T d)]
//
// The matrices are Toom's and Cook's, made while this is compiled. B^T holds the coefficients of
// products of (x - point) and G the divisions, which the larger tensors are spared.
//
// All points but 0 and infinity come in pairs p and -p. Their rows differ in the sign of each
// second term, so that a pair costs little more than one row. Of such points these enlarge errors
// the least of all multiples of 1/8 up to 3, by the expected error of
// alexnet/convolution/cook_toom.py. With N = 6 that is half of what 0, 1, -1, 2, -2 do.
//
// Source: Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", section 4;
// Blahut, "Fast algorithms for signal processing", section 5.2.

#pragma once

#include <utility>

#include "vectors.h"

template <int ROWS_, int COLUMNS_>
struct Matrix {
  double at[ROWS_][COLUMNS_];
};

template <int M, int R>
struct CookToom {
  static constexpr int N = M + R - 1;
  static_assert(N % 2 == 0 && N <= 8);
  static constexpr double PAIRS[3] = {N == 6 ? 0.625 : 1, N == 6 ? 1.625 : 2, 0.5};

  static constexpr double point(int i) {
    return i == 0 ? 0 : i % 2 ? PAIRS[i / 2] : -PAIRS[i / 2 - 1];
  }

  static constexpr double power(double base, int exponent) {
    double result = 1;
    for (int i = 0; i < exponent; ++i) result *= base;
    return result;
  }

  static constexpr Matrix<M, N> output() {  // A^T
    Matrix<M, N> a = {};
    for (int row = 0; row < M; ++row)
      for (int i = 0; i < N - 1; ++i) a.at[row][i] = power(point(i), row);
    a.at[M - 1][N - 1] = 1;
    return a;
  }

  static constexpr Matrix<N, R> kernel() {  // G
    Matrix<N, R> g = {};
    for (int i = 0; i < N - 1; ++i) {
      double divisor = 1;
      for (int j = 0; j < N - 1; ++j)
        if (j != i) divisor *= point(i) - point(j);
      for (int tap = 0; tap < R; ++tap) g.at[i][tap] = power(point(i), tap) / divisor;
    }
    g.at[N - 1][R - 1] = 1;
    return g;
  }

  static constexpr Matrix<N, N> input() {  // B^T
    Matrix<N, N> b = {};
    for (int i = 0; i < N; ++i) {
      b.at[i][0] = 1;
      for (int j = 0, degree = 0; j < N - 1; ++j) {
        if (j == i) continue;
        ++degree;
        for (int d = degree; d >= 0; --d)
          b.at[i][d] = (d ? b.at[i][d - 1] : 0) - point(j) * b.at[i][d];
      }
    }
    return b;
  }

  static constexpr Matrix<M, N> OUTPUT = output();
  static constexpr Matrix<N, R> KERNEL = kernel();
  static constexpr Matrix<N, N> INPUT = input();
};

template <int I>
using Number = std::integral_constant<int, I>;

template <typename Function, int... I>
INLINE void each([[maybe_unused]] Function function, std::integer_sequence<int, I...>) {
  (function(Number<I>{}), ...);
}

// Calls function(Number<0>{}), ..., so that each call can ask for a constant with `if constexpr`.
template <int COUNT, typename Function>
INLINE void each(Function function) {
  each(function, std::make_integer_sequence<int, COUNT>{});
}

// Adds factor * x to a sum that is empty so far if FIRST.
template <typename Factor>
INLINE void add_term(Floats& sum, bool first, Floats x, Factor) {
  constexpr float factor = Factor::value();
  if constexpr (factor == 1)
    sum = first ? x : sum + x;
  else if constexpr (factor == -1)
    sum = first ? -x : sum - x;
  else if constexpr (factor != 0)
    sum = first ? factor * x : sum + factor * x;
}

// The terms of a row whose place has this parity.
template <typename Matrices, bool KERNEL, int ROW, int PARITY, int COUNT>
INLINE Floats terms(const Floats* x) {
  Floats sum = {};
  bool first = true;
  each<COUNT>([&](auto column) __attribute__((always_inline)) {
    constexpr int j = decltype(column)::value;
    struct Factor {
      static constexpr float value() {
        if constexpr (KERNEL)
          return Matrices::KERNEL.at[ROW][j];
        else
          return Matrices::INPUT.at[ROW][j];
      }
    };
    if constexpr (j % 2 == PARITY && Factor::value() != 0) {
      add_term(sum, first, x[j], Factor{});
      first = false;
    }
  });
  return sum;
}

// N sums from COUNT numbers: B^T x, or G x.
template <typename Matrices, bool KERNEL, int COUNT>
INLINE void to_points(const Floats* x, Floats* out) {
  constexpr int N = Matrices::N;
  out[0] = terms<Matrices, KERNEL, 0, 0, COUNT>(x);
  each<N / 2 - 1>([&](auto pair) __attribute__((always_inline)) {
    constexpr int row = 2 * decltype(pair)::value + 1;
    const Floats even = terms<Matrices, KERNEL, row, 0, COUNT>(x);
    const Floats odd = terms<Matrices, KERNEL, row, 1, COUNT>(x);
    out[row] = even + odd;
    out[row + 1] = even - odd;
  });
  out[N - 1] = terms<Matrices, KERNEL, N - 1, (COUNT - 1) % 2, COUNT>(x);
}

template <typename Matrices>
INLINE void input_points(const Floats* x, Floats* out) {
  to_points<Matrices, false, Matrices::N>(x, out);
}

template <typename Matrices, int R>
INLINE void kernel_points(const Floats* x, Floats* out) {
  to_points<Matrices, true, R>(x, out);
}

// M sums from N products: A^T x.
template <typename Matrices, int M>
INLINE void from_points(const Floats* x, Floats* out) {
  constexpr int N = Matrices::N;
  Floats half[N];  // sums and differences of pairs
  for (int row = 1; row < N - 1; row += 2) {
    half[row] = x[row] + x[row + 1];
    half[row + 1] = x[row] - x[row + 1];
  }
  each<M>([&](auto number) __attribute__((always_inline)) {
    constexpr int row = decltype(number)::value;
    Floats sum = row ? Floats{} : x[0];
    each<N / 2 - 1>([&](auto pair) __attribute__((always_inline)) {
      constexpr int column = 2 * decltype(pair)::value + 1;
      constexpr float factor = Matrices::OUTPUT.at[row][column];
      const Floats term = half[column + row % 2];
      if constexpr (row && column == 1)
        sum = factor == 1 ? term : factor * term;
      else
        sum = factor == 1 ? sum + term : sum + factor * term;
    });
    out[row] = row == M - 1 ? sum + x[N - 1] : sum;
  });
}
