// A convolution as a matrix product whose left matrix, the windows of x, exists a block at a time
// in the second-level cache (im2col, Chellapilla 2006; the blocking is Goto's, 2008). Pixels are
// stored channels last; every convolution has three axes here, some of size 1:
//
//   y[n][first + step * p][k] = bias[k]
//       + sum over tap, c of x[n][stride * p + taps[tap]][c] * w[tap][c][k]
//
// for the positions p of a grid; x is zero outside of its size; c and k are those of a group. The
// taps are a list of displacements in x. So a gradient of x with a stride is this as well: once for
// each remainder of its positions by the stride, with the taps that meet that remainder.

#include <omp.h>

#include <vector>

#include "gemm.h"
#include "im2col.h"

struct Im2colWeights {
  int64_t groups, channels, origin, count, taps;
  int64_t group_step, kernel_step, channel_step;  // in w, of which each tap has an offset
};

namespace {

constexpr int64_t STAY = 96;  // kernels whose dy stays in the second cache beside the windows
constexpr int64_t LINES = 16;  // windows laid out before they are taken apart into panels

struct Piece {
  int64_t from, to, count;  // in x behind a window's origin; in a row of the columns
  const int64_t* tap;
};

// The numbers from `begin` to `end` of a window, tap by tap, or those next to each other as one.
struct Pieces {
  std::vector<Piece> taps, runs;

  Pieces(const Windows& windows, int64_t begin, int64_t end) {
    const int64_t channels = windows.op.channels;
    for (int64_t d = begin; d < end;) {
      const int64_t tap = d / channels, c = d % channels;
      const int64_t count = std::min(channels - c, end - d);
      const int64_t* at = windows.taps + 3 * tap;
      taps.push_back({windows.pixel(at) * windows.all_channels + c, d - begin, count, at});
      if (runs.size() && runs.back().from + runs.back().count == taps.back().from)
        runs.back().count += count;
      else
        runs.push_back(taps.back());
      d += count;
    }
  }
};

// May write up to LANES - 1 numbers more, and reads none at `end` or behind.
template <typename T>
INLINE void copy(const T* from, const T* end, int64_t count, float* to) {
  for (; count >= LANES; count -= LANES, from += LANES, to += LANES) store(to, load(from));
  if (count > 0) store(to, from + LANES <= end ? load(from) : load(from, count));
}

// `rows` times the same, each VECTORS long.
template <int64_t VECTORS, typename T>
INLINE void copy_rows(int64_t rows, const T* from, int64_t from_step, float* to, int64_t to_step) {
  for (; rows > 0; --rows, from += from_step, to += to_step)
    for (int64_t i = 0; i < VECTORS * LANES; i += LANES) store(to + i, load(from + i));
}

template <typename T>
INLINE void copy_rows(int64_t rows, const T* from, int64_t from_step, const T* end, int64_t count,
                      float* to, int64_t to_step) {
  const bool spare = from + (rows - 1) * from_step + round_up(count) <= end;
  if (spare && count <= LANES) return copy_rows<1>(rows, from, from_step, to, to_step);
  if (spare && count <= 2 * LANES) return copy_rows<2>(rows, from, from_step, to, to_step);
  if (spare && count <= 3 * LANES) return copy_rows<3>(rows, from, from_step, to, to_step);
  for (; rows > 0; --rows, from += from_step, to += to_step) copy(from, end, count, to);
}

// Rows of columns, `step` apart; behind each up to LANES - 1 numbers more are written, which is why
// a piece is copied after those before it.
template <typename T>
void lay_out(const Windows& windows, const Pieces& pieces, Place& place, int64_t rows, const T* x,
             int64_t group, float* to, int64_t step) {
  const Im2col& op = windows.op;
  const int64_t picture = windows.pixels * windows.all_channels;
  const T* end = x + op.pictures * picture;
  while (rows > 0) {
    const T* origin = x + place.n * picture + windows.pixel(place.origin) * windows.all_channels +
                      group * op.channels;
    const int64_t inside = std::min(rows, place.inside(windows));
    if (inside)
      for (const Piece& piece : pieces.runs)
        copy_rows(inside, origin + piece.from, op.stride[2] * windows.all_channels, end,
                  piece.count, to + piece.to, step);
    else
      for (const Piece& piece : pieces.taps)
        if (place.meets(windows, piece.tap))
          copy(origin + piece.from, end, piece.count, to + piece.to);
        else
          for (int64_t i = 0; i < piece.count; i += LANES) store(to + piece.to + i, Floats{});
    const int64_t done = std::max<int64_t>(1, inside);
    place.skip(op, done);
    rows -= done;
    to += done * step;
  }
}

// Sums of a block to where they belong in y.
template <typename T>
void put(const Windows& windows, Place place, const float* sums, int64_t rows, int64_t first_kernel,
         int64_t count, T* y) {
  const Im2col& op = windows.op;
  for (int64_t row = 0; row < rows; ++row, sums += op.width, place.next(op)) {
    int64_t pixel = place.n;
    for (int axis = 0; axis < 3; ++axis)
      pixel = pixel * op.out[axis] + op.first[axis] + op.step[axis] * place.p[axis];
    T* to = y + pixel * op.groups * op.kernels + first_kernel;
    for (int64_t k = 0; k < count; k += LANES) store(to + k, load(sums + k), count - k);
  }
}

// A block of positions by a block of kernels.
template <typename T>
void block(const Windows& windows, const T* x, const float* w, const float* bias, T* y, float* y32,
           int64_t group, int64_t begin, int64_t first, float* columns) {
  const Im2col& op = windows.op;
  const int64_t depth = op.taps * op.channels;
  const int64_t rows = std::min(op.rows, op.pictures * windows.positions - begin);
  const int64_t count = std::min(op.width, op.count - first);
  const int64_t kernel = group * op.kernels + op.origin + first, step = op.groups * op.kernels;
  const int64_t apart = op.depth + LANES;  // from a row of columns to the next
  float* sums = columns + op.rows * apart;
  float* out = y32 ? y32 + begin * step + kernel : sums;
  const int64_t out_step = y32 ? step : op.width;
  w += (group * panels(op.count) * COLUMNS + first) * depth;
  for (int64_t d = 0; d < depth; d += op.depth) {
    const int64_t deep = std::min(op.depth, depth - d);
    const Pieces pieces(windows, d, d + deep);
    Place place(windows, begin);
    lay_out(windows, pieces, place, rows, x, group, columns, apart);
    for (int64_t k = 0; k < count; k += COLUMNS)
      product_panel(rows, deep, columns, apart, w + k * depth + d * COLUMNS, out + k, out_step,
                    count - k, d > 0, bias && !d ? bias + kernel + k : nullptr);
  }
  if (!y32) put(windows, Place(windows, begin), sums, rows, kernel, count, y);
}

// y32 is y where the sums can be taken in place, else null.
template <typename T>
void im2col(const Im2col& op, const T* x, const int64_t* taps, const float* w, const float* bias,
            T* y, float* y32, float* buffers) {
  const Windows windows(op, taps);
  for (int axis = 0; axis < 3; ++axis)
    if (op.step[axis] != 1 || op.grid[axis] != op.out[axis]) y32 = nullptr;
  const int64_t blocks = (op.pictures * windows.positions + op.rows - 1) / op.rows;
  const int64_t widths = (op.count + op.width - 1) / op.width;
#pragma omp parallel for schedule(dynamic) collapse(3) num_threads(op.threads)
  for (int64_t group = 0; group < op.groups; ++group)
    for (int64_t width = 0; width < widths; ++width)
      for (int64_t each = 0; each < blocks; ++each)
        block(windows, x, w, bias, y, y32, group, each * op.rows, width * op.width,
              buffers + omp_get_thread_num() * op.buffer);
}

// dy as [block of positions][group][tile][position][ROWS], zeros behind the last tile's kernels.
template <typename T>
void lay_out_gradient(const Im2col& op, const T* dy, int64_t positions, int64_t tiles, float* out) {
  const int64_t kernels = op.groups * op.kernels, size = op.depth * op.groups * tiles * ROWS;
#pragma omp for schedule(static)
  for (int64_t begin = 0; begin < positions; begin += op.depth) {
    float* to = out + begin / op.depth * size;
    for (int64_t group = 0; group < op.groups; ++group)
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t count = std::min(ROWS, op.kernels - tile * ROWS);
        const T* from = dy + begin * kernels + group * op.kernels + tile * ROWS;
        for (int64_t row = 0; row < op.depth; ++row, to += ROWS, from += kernels)
          for (int64_t i = 0; i < ROWS; ++i)
            to[i] = i < count && begin + row < positions ? value(from[i]) : 0.0f;
      }
  }
}

// Adds the share of `positions` from `begin` on to some kernels' dw at some numbers of the window.
template <typename T>
void gradient_block(const Windows& windows, const T* x, const float* dy, float* dw, int64_t group,
                    int64_t begin, int64_t positions, int64_t number, int64_t kernel,
                    float* buffer) {
  const Im2col& op = windows.op;
  const int64_t depth = op.taps * op.channels, numbers = std::min(op.width, depth - number);
  const int64_t tiles = (op.kernels + ROWS - 1) / ROWS;
  const int64_t last = std::min(kernel + op.count, op.kernels);
  const Pieces pieces(windows, number, number + numbers);
  const int64_t apart = op.width + LANES;
  float* lines = buffer + op.depth * op.width;
  Place place(windows, begin);
  for (int64_t done = 0; done < positions; done += op.depth) {
    const int64_t rows = std::min(op.depth, positions - done);
    for (int64_t row = 0; row < rows; row += LINES) {
      const int64_t count = std::min(LINES, rows - row);
      lay_out(windows, pieces, place, count, x, group, lines, apart);
      for (int64_t d = 0; d < numbers; d += COLUMNS)
        for (int64_t i = 0; i < count; ++i) {
          float* to = buffer + d * op.depth + (row + i) * COLUMNS;
          store(to, load(lines + i * apart + d));
          store(to + LANES, load(lines + i * apart + d + LANES));
        }
    }
    const float* factors = dy + (done * op.groups + group * op.depth) * tiles * ROWS;
    for (int64_t some = kernel; some < last; some += STAY)
      for (int64_t d = 0; d < numbers; d += COLUMNS)
        for (int64_t k = some; k < std::min(some + STAY, last); k += ROWS)
          product_panel<ROWS, ROWS>(std::min(ROWS, last - k), rows, factors + k * op.depth, 1,
                                    buffer + d * op.depth,
                                    dw + (group * op.kernels + k) * depth + number + d, depth,
                                    numbers - d, true);
  }
}

// dw (K, taps, C / groups) is zero before. A block is `depth` positions, `width` numbers of a
// window and `count` kernels; `gradients` has room for `rows` positions of dy.
template <typename T>
void weights(const Im2col& op, const T* x, const int64_t* taps, const T* dy, float* dw,
             float* gradients, float* buffers) {
  const Windows windows(op, taps);
  const int64_t tiles = (op.kernels + ROWS - 1) / ROWS, all = op.pictures * windows.positions;
#pragma omp parallel num_threads(op.threads)
  for (int64_t begin = 0; begin < all; begin += op.rows) {
    const int64_t positions = std::min(op.rows, all - begin);
    lay_out_gradient(op, dy + begin * op.groups * op.kernels, positions, tiles, gradients);
#pragma omp for schedule(dynamic) collapse(3)
    for (int64_t group = 0; group < op.groups; ++group)
      for (int64_t number = 0; number < op.taps * op.channels; number += op.width)
        for (int64_t kernel = 0; kernel < op.kernels; kernel += op.count)
          gradient_block(windows, x, gradients, dw, group, begin, positions, number, kernel,
                         buffers + omp_get_thread_num() * op.buffer);
  }
}

// w as [group][panel][tap][c][COLUMNS]
template <typename T>
void pack(const Im2colWeights& op, const T* w, const int64_t* offsets, float* packed) {
  const int64_t depth = op.taps * op.channels, count = panels(op.count);
#pragma omp parallel for schedule(static) collapse(2)
  for (int64_t group = 0; group < op.groups; ++group)
    for (int64_t panel = 0; panel < count; ++panel) {
      float* to = packed + (group * count + panel) * depth * COLUMNS;
      const int64_t first = panel * COLUMNS, kernels = std::min(COLUMNS, op.count - first);
      const T* from = w + group * op.group_step + (op.origin + first) * op.kernel_step;
      for (int64_t tap = 0; tap < op.taps; ++tap)
        for (int64_t c = 0; c < op.channels; ++c, to += COLUMNS) {
          const T* each = from + offsets[tap] + c * op.channel_step;
          for (int64_t k = 0; k < kernels; ++k) to[k] = value(each[k * op.kernel_step]);
          for (int64_t k = kernels; k < COLUMNS; ++k) to[k] = 0;
        }
    }
}

}  // namespace

// `buffers` has `buffer` numbers a thread and 64 more, whatever they are.
extern "C" {

void im2col_pack_float32(const Im2colWeights* op, const float* w, const int64_t* offsets,
                         float* packed) {
  pack(*op, w, offsets, packed);
}

void im2col_pack_bfloat16(const Im2colWeights* op, const bfloat16* w, const int64_t* offsets,
                          float* packed) {
  pack(*op, w, offsets, packed);
}

void im2col_float32(const Im2col* op, const float* x, const int64_t* taps, const float* w,
                    const float* bias, float* y, float* buffers) {
  im2col(*op, x, taps, w, bias, y, y, buffers);
}

void im2col_bfloat16(const Im2col* op, const bfloat16* x, const int64_t* taps, const float* w,
                     const float* bias, bfloat16* y, float* buffers) {
  im2col<bfloat16>(*op, x, taps, w, bias, y, nullptr, buffers);
}

void im2col_weights_float32(const Im2col* op, const float* x, const int64_t* taps, const float* dy,
                            float* dw, float* gradients, float* buffers) {
  weights(*op, x, taps, dy, dw, gradients, buffers);
}

void im2col_weights_bfloat16(const Im2col* op, const bfloat16* x, const int64_t* taps,
                             const bfloat16* dy, float* dw, float* gradients, float* buffers) {
  weights(*op, x, taps, dy, dw, gradients, buffers);
}
}
