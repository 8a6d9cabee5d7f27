// ReLU, response normalisation, max pooling, ReLU: any of them, in this order, in one pass over
// pixels that are stored channels last (n, h, w, c).
//
//   a = max(x, 0)                                              if relu_first
//   b = a * (bias + alpha * sum(a[j] ** 2, j near c)) ** -beta  if power > 0; beta = power / 4
//   y = max of b over the window                               if size > 0
//   y = max(y, 0)                                              if relu_last
//
// Sums are float32. A winner is the place of the maximum in its window, row by row; 255 stands for
// none, where relu_last made y zero. The backward pass takes x, not b: computing b again in cache
// takes less time than memory needs to bring it.

#include <omp.h>

#include <algorithm>
#include <vector>

#include "vectors.h"

struct NormPool {
  int64_t n, h, w, c;
  int64_t below, above, columns, power;  // the norm; power 0 leaves it out
  float bias, alpha;
  int64_t size, stride, padding, out_h, out_w;  // the pool; size 0 leaves it out
  int64_t relu_first, relu_last;
};

constexpr int64_t CHUNK = 1536;  // floats of the pixels that are worked on at a time, in L1
constexpr uint8_t NO_WINNER = 255;

namespace {

// The activations of some pixels with zeros between the columns, so that a window is a sum of
// shifted vectors.
struct Padded {
  const NormPool& op;
  int64_t width, reach, stride, pixel;
  std::vector<float> data;

  Padded(const NormPool& op, int64_t pixels)
      : op(op), width(op.c / op.columns), reach(op.below + op.above),
        stride(reach + round_up(width)), pixel(op.columns * stride),
        data(reach + pixels * pixel, 0.0f) {}

  float* at(int64_t p, int64_t column) { return &data[reach + p * pixel + column * stride]; }
};

template <int WINDOW>
INLINE Floats window_sum(const float* first, int64_t window) {
  Floats sum = load(first);
  if (WINDOW)
    for (int j = 1; j < WINDOW; ++j) sum += load(first + j);
  else
    for (int64_t j = 1; j < window; ++j) sum += load(first + j);
  return sum;
}

struct Scratch {
  int64_t pixels;
  Padded squares, products;
  std::vector<float> scale;

  explicit Scratch(const NormPool& op)
      : pixels(std::max<int64_t>(CHUNK / op.c, 1)), squares(op, pixels), products(op, pixels),
        scale(pixels * (op.c + LANES)) {}
};

template <typename T>
INLINE Floats activation(const NormPool& op, const T* x, int64_t count) {
  Floats a = load(x, count);
  return op.relu_first ? relu(a) : a;
}

template <typename T>
INLINE void square(const NormPool& op, const T* x, int64_t pixels, Padded& squares) {
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t k = 0; k < op.columns; ++k) {
      const T* from = x + p * op.c + k * squares.width;
      float* to = squares.at(p, k);
      for (int64_t i = 0; i < squares.width; i += LANES) {
        Floats a = activation(op, from + i, squares.width - i);
        store(to + i, a * a);
      }
    }
}

// b of some pixels, of type T or float
template <int WINDOW, typename T, typename U>
void normalise(const NormPool& op, const T* x, U* b, int64_t pixels, Scratch& scratch) {
  Padded& squares = scratch.squares;
  const int64_t width = squares.width, window = op.below + 1 + op.above;
  for (int64_t begin = 0; begin < pixels; begin += scratch.pixels) {
    const int64_t some = std::min(scratch.pixels, pixels - begin);
    const T* from = x + begin * op.c;
    U* to = b + begin * op.c;
    square(op, from, some, squares);
    for (int64_t p = 0; p < some; ++p)
      for (int64_t k = 0; k < op.columns; ++k) {
        const float* near = squares.at(p, k) - op.below;
        const int64_t at = p * op.c + k * width;
        for (int64_t i = 0; i < width; i += LANES) {
          Floats s = op.bias + op.alpha * window_sum<WINDOW>(near + i, window);
          Floats a = activation(op, from + at + i, width - i);
          store(to + at + i, a * to_power(inverse_fourth_root(s), op.power), width - i);
        }
      }
  }
}

// dx = g * s ** -beta - 2 * alpha * beta * a * sum(g * a * s ** (-beta - 1)), masked by the ReLU
template <int WINDOW, typename G, typename T>
void normalise_backward(const NormPool& op, const G* g, const T* x, T* dx, int64_t pixels,
                        Scratch& scratch) {
  Padded &squares = scratch.squares, &products = scratch.products;
  const int64_t width = squares.width, window = op.below + 1 + op.above;
  const float factor = -0.5f * op.power * op.alpha;
  for (int64_t begin = 0; begin < pixels; begin += scratch.pixels) {
    const int64_t some = std::min(scratch.pixels, pixels - begin);
    const T* from = x + begin * op.c;
    const G* gradient = g + begin * op.c;
    T* to = dx + begin * op.c;
    square(op, from, some, squares);
    for (int64_t p = 0; p < some; ++p)
      for (int64_t k = 0; k < op.columns; ++k) {
        const float* near = squares.at(p, k) - op.below;
        float* product = products.at(p, k);
        const int64_t at = p * op.c + k * width;
        for (int64_t i = 0; i < width; i += LANES) {
          Floats s = op.bias + op.alpha * window_sum<WINDOW>(near + i, window);
          Floats r = inverse_fourth_root(s);
          Floats scaled = load(gradient + at + i, width - i) * to_power(r, op.power);
          Floats a = activation(op, from + at + i, width - i);
          store(scratch.scale.data() + at + i, scaled, width - i);
          store(product + i, scaled * a * to_power(r, 4));
        }
      }
    for (int64_t p = 0; p < some; ++p)
      for (int64_t k = 0; k < op.columns; ++k) {
        const float* near = products.at(p, k) - op.above;
        const int64_t at = p * op.c + k * width;
        for (int64_t i = 0; i < width; i += LANES) {
          Floats a = activation(op, from + at + i, width - i);
          Floats d = load(scratch.scale.data() + at + i, width - i);
          d += factor * a * window_sum<WINDOW>(near + i, window);
          if (op.relu_first) d = a > 0 ? d : Floats{};
          store(to + at + i, d, width - i);
        }
      }
  }
}

// An element of a window: its pixel, and its place in the window.
template <typename T>
struct Place {
  const T* pixel;
  uint32_t index;
};

// The largest of some pixels, channel by channel. A COUNT that is not 0 is known to the compiler.
template <int COUNT, typename T, typename U>
INLINE void maximum(const NormPool& op, const Place<T>* places, int64_t count, U* y,
                    uint8_t* winners) {
  if (COUNT) count = COUNT;
  for (int64_t i = 0; i < op.c; i += LANES) {
    Floats best = load(places[0].pixel + i, op.c - i);
    Words winner = Words{} + places[0].index;
    for (int64_t k = 1; k < count; ++k) {
      Floats b = load(places[k].pixel + i, op.c - i);
      auto wins = (b > best) | (b != b);
      best = wins ? b : best;
      winner = wins ? Words{} + places[k].index : winner;
    }
    if (op.relu_last) {
      winner = best > 0 ? winner : Words{} + NO_WINNER;
      best = relu(best);
    }
    store(y + i, best, op.c - i);
    store_bytes(winners + i, winner, op.c - i);
  }
}

// One row of y and its winners from the rows of b that its windows touch, the first of them row
// `top` of the window.
template <typename T, typename U>
void pool_row(const NormPool& op, const std::vector<const T*>& rows, int64_t top, U* y,
              uint8_t* winners) {
  Place<T> places[NO_WINNER];
  for (int64_t column = 0; column < op.out_w; ++column) {
    const int64_t left = column * op.stride - op.padding;
    const int64_t first = std::max<int64_t>(left, 0), last = std::min(left + op.size, op.w);
    int64_t count = 0;
    for (size_t row = 0; row < rows.size(); ++row)
      for (int64_t w = first; w < last; ++w)
        places[count++] = {rows[row] + w * op.c, uint32_t((top + row) * op.size + w - left)};
    const int64_t at = column * op.c;
    if (count == 9)
      maximum<9>(op, places, count, y + at, winners + at);
    else
      maximum<0>(op, places, count, y + at, winners + at);
  }
}

// The gradient of one pixel: the sum over the windows that it won.
template <int COUNT, typename T>
INLINE void collect(const NormPool& op, const Place<T>* windows, const uint8_t* winners,
                    const T* dy, int64_t count, float* g) {
  if (COUNT) count = COUNT;
  for (int64_t i = 0; i < op.c; i += LANES) {
    Floats sum = {};
    for (int64_t k = 0; k < count; ++k) {
      const T* from = windows[k].pixel + i;
      Words winner = load_bytes(winners + (from - dy), op.c - i);
      sum += winner == windows[k].index ? load(from, op.c - i) : Floats{};
    }
    store(g + i, sum, op.c - i);
  }
}

// The gradient of b in one row.
template <typename T>
void unpool_row(const NormPool& op, const T* dy, const uint8_t* winners, int64_t h, float* g) {
  const auto first_window = [&](int64_t at) {
    const int64_t past = at + op.padding - op.size;
    return past < 0 ? 0 : past / op.stride + 1;
  };
  const int64_t top = first_window(h);
  const int64_t bottom = std::min((h + op.padding) / op.stride + 1, op.out_h);
  Place<T> windows[NO_WINNER];
  for (int64_t w = 0; w < op.w; ++w) {
    const int64_t left = first_window(w);
    const int64_t right = std::min((w + op.padding) / op.stride + 1, op.out_w);
    int64_t count = 0;
    for (int64_t row = top; row < bottom; ++row)
      for (int64_t column = left; column < right; ++column)
        windows[count++] = {dy + (row * op.out_w + column) * op.c,
                            uint32_t((h - row * op.stride + op.padding) * op.size +
                                     (w - column * op.stride + op.padding))};
    float* to = g + w * op.c;
    if (count == 1)
      collect<1>(op, windows, winners, dy, count, to);
    else if (count == 2)
      collect<2>(op, windows, winners, dy, count, to);
    else if (count == 4)
      collect<4>(op, windows, winners, dy, count, to);
    else
      collect<0>(op, windows, winners, dy, count, to);
  }
}

// Rows b of the net between the ReLU and the pool, the last `size` of them kept.
template <int WINDOW, typename T>
void forward(const NormPool& op, const T* x, T* y, uint8_t* winners) {
  const int64_t line = op.w * op.c, out_line = op.out_w * op.c;
  const int64_t lines = op.size ? op.out_h : op.h;
  // A band is worked on by one thread; the rows where two bands meet are computed twice.
  const int64_t bands = std::clamp<int64_t>(2 * omp_get_max_threads() / op.n, 1, lines);
#pragma omp parallel
  {
    Scratch scratch(op);
    std::vector<float> ring(op.size * line);
    std::vector<const float*> rows;
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t n = 0; n < op.n; ++n)
      for (int64_t band = 0; band < bands; ++band) {
        const T* image = x + n * op.h * line;
        const int64_t begin = band * lines / bands, end = (band + 1) * lines / bands;
        if (!op.size) {
          T* to = y + (n * op.h + begin) * line;
          normalise<WINDOW>(op, image + begin * line, to, (end - begin) * op.w, scratch);
          continue;
        }
        int64_t done = 0;  // rows of b above this one are in the ring, or no longer needed
        for (int64_t row = begin; row < end; ++row) {
          const int64_t top = row * op.stride - op.padding;
          const int64_t first = std::max<int64_t>(top, 0), last = std::min(top + op.size, op.h);
          rows.clear();
          for (int64_t h = first; h < last; ++h) {
            float* to = &ring[h % op.size * line];
            if (h >= done) normalise<WINDOW>(op, image + h * line, to, op.w, scratch);
            rows.push_back(to);
          }
          done = std::max(done, last);
          const int64_t at = (n * op.out_h + row) * out_line;
          pool_row(op, rows, first - top, y + at, winners + at);
        }
      }
  }
}

// The same without a norm: rows of x are pooled where they lie, since a maximum and a ReLU may
// change places.
template <typename T>
void forward_pool(const NormPool& op, const T* x, T* y, uint8_t* winners) {
  const int64_t line = op.w * op.c, out_line = op.out_w * op.c;
#pragma omp parallel
  {
    std::vector<const T*> rows;
#pragma omp for schedule(static) collapse(2)
    for (int64_t n = 0; n < op.n; ++n)
      for (int64_t row = 0; row < op.out_h; ++row) {
        const int64_t top = row * op.stride - op.padding;
        const int64_t first = std::max<int64_t>(top, 0), last = std::min(top + op.size, op.h);
        rows.clear();
        for (int64_t h = first; h < last; ++h) rows.push_back(x + (n * op.h + h) * line);
        const int64_t at = (n * op.out_h + row) * out_line;
        pool_row(op, rows, first - top, y + at, winners + at);
      }
  }
}

template <int WINDOW, typename T>
void backward(const NormPool& op, const T* dy, const T* x, const uint8_t* winners, T* dx) {
  const int64_t line = op.w * op.c, out_image = op.out_h * op.out_w * op.c;
#pragma omp parallel
  {
    Scratch scratch(op);
    std::vector<float> g(line);
#pragma omp for schedule(static) collapse(2)
    for (int64_t n = 0; n < op.n; ++n)
      for (int64_t h = 0; h < op.h; ++h) {
        const int64_t at = (n * op.h + h) * line;
        if (!op.size) {
          normalise_backward<WINDOW>(op, dy + at, x + at, dx + at, op.w, scratch);
          continue;
        }
        unpool_row(op, dy + n * out_image, winners + n * out_image, h, g.data());
        if (op.power)
          normalise_backward<WINDOW>(op, g.data(), x + at, dx + at, op.w, scratch);
        else
          for (int64_t i = 0; i < line; i += LANES)
            store(dx + at + i, load(g.data() + i, line - i), line - i);
      }
  }
}

template <typename T>
void run_forward(const NormPool& op, const T* x, T* y, uint8_t* winners) {
  if (!op.power) return forward_pool(op, x, y, winners);
  if (op.below + op.above == 4) return forward<5>(op, x, y, winners);
  forward<0>(op, x, y, winners);
}

template <typename T>
void run_backward(const NormPool& op, const T* dy, const T* x, const uint8_t* winners, T* dx) {
  if (op.below + op.above == 4) return backward<5>(op, dy, x, winners, dx);
  backward<0>(op, dy, x, winners, dx);
}

}  // namespace

extern "C" {

void norm_pool_float32(const NormPool* op, const float* x, float* y, uint8_t* winners) {
  run_forward(*op, x, y, winners);
}

void norm_pool_bfloat16(const NormPool* op, const bfloat16* x, bfloat16* y, uint8_t* winners) {
  run_forward(*op, x, y, winners);
}

void norm_pool_backward_float32(const NormPool* op, const float* dy, const float* x,
                                const uint8_t* winners, float* dx) {
  run_backward(*op, dy, x, winners, dx);
}

void norm_pool_backward_bfloat16(const NormPool* op, const bfloat16* dy, const bfloat16* x,
                                 const uint8_t* winners, bfloat16* dx) {
  run_backward(*op, dy, x, winners, dx);
}
}
