// A convolution in which every channel has one kernel of its own, pixels stored channels last:
//
//   y[n][first + step * p][c] = bias[c]
//       + sum over tap of x[n][stride * p + taps[tap]][c] * w[tap][c]
//
// Nothing is summed over channels, so that there is no matrix product: lanes are channels, and each
// weight meets some neighbouring outputs while it is in a register. Sums are float32.

#include <omp.h>

#include "im2col.h"
#include "vectors.h"

namespace {

constexpr int64_t NEIGHBOURS = 6;  // outputs of a tile, by two vectors of channels

// The first `count` numbers of two vectors; WHOLE where these are all.
template <bool WHOLE, typename T>
INLINE void load_two(const T* from, int64_t count, Floats* two) {
  two[0] = WHOLE ? load(from) : load(from, count);
  two[1] = Floats{};
  if (WHOLE || count > LANES) two[1] = load(from + LANES, WHOLE ? LANES : count - LANES);
}

// COUNT neighbouring outputs, whose windows are inside of x but where `place` is asked.
template <int64_t COUNT, bool WHOLE, typename T>
INLINE void tile(const Windows& windows, const Place& place, bool inside, const T* origin,
                 const float* w, const float* bias, T* y, int64_t y_step, int64_t count) {
  const Im2col& op = windows.op;
  const int64_t x_step = op.stride[2] * op.groups;
  Floats sum[COUNT][2] = {};
  if (bias) {
    load_two<WHOLE>(bias, count, sum[0]);
    for (int64_t i = 1; i < COUNT; ++i) sum[i][0] = sum[0][0], sum[i][1] = sum[0][1];
  }
  for (int64_t tap = 0; tap < op.taps; ++tap, w += op.groups) {
    const int64_t* at = windows.taps + 3 * tap;
    if (!inside && !place.meets(windows, at)) continue;
    const T* from = origin + windows.pixel(at) * op.groups;
    Floats factor[2], x[2];
    load_two<WHOLE>(w, count, factor);
    for (int64_t i = 0; i < COUNT; ++i) {
      load_two<WHOLE>(from + i * x_step, count, x);
      for (int half = 0; half < 2; ++half) sum[i][half] += x[half] * factor[half];
    }
  }
  for (int64_t i = 0; i < COUNT; ++i) {
    store(y + i * y_step, sum[i][0], WHOLE ? LANES : count);
    if (WHOLE || count > LANES) store(y + i * y_step + LANES, sum[i][1], count - LANES);
  }
}

// The positions from `begin` to `end`.
template <typename T>
void positions(const Windows& windows, const T* x, const float* w, const float* bias, T* y,
               int64_t begin, int64_t end) {
  const Im2col& op = windows.op;
  const int64_t y_step = op.step[2] * op.groups;
  Place place(windows, begin);
  while (begin < end) {
    const int64_t inside = std::min(end - begin, place.inside(windows));
    const bool whole = inside >= NEIGHBOURS;
    int64_t pixel = place.n;
    for (int axis = 0; axis < 3; ++axis)
      pixel = pixel * op.out[axis] + op.first[axis] + op.step[axis] * place.p[axis];
    const T* from = x + (place.n * windows.pixels + windows.pixel(place.origin)) * op.groups;
    T* to = y + pixel * op.groups;
    for (int64_t c = 0; c < op.groups; c += 2 * LANES) {
      const float* start = bias ? bias + c : nullptr;
      const int64_t count = std::min<int64_t>(2 * LANES, op.groups - c);
      if (whole && count == 2 * LANES)
        tile<NEIGHBOURS, true>(windows, place, true, from + c, w + c, start, to + c, y_step, count);
      else if (count == 2 * LANES)
        tile<1, true>(windows, place, inside > 0, from + c, w + c, start, to + c, y_step, count);
      else
        for (int64_t i = 0; i < (whole ? NEIGHBOURS : 1); ++i)
          tile<1, false>(windows, place, inside > 0, from + c + i * op.stride[2] * op.groups,
                         w + c, start, to + c + i * y_step, y_step, count);
    }
    const int64_t done = whole ? NEIGHBOURS : 1;
    place.skip(op, done);
    begin += done;
  }
}

template <typename T>
void depthwise(const Im2col& op, const T* x, const int64_t* taps, const float* w,
               const float* bias, T* y) {
  const Windows windows(op, taps);
  const int64_t all = op.pictures * windows.positions;
#pragma omp parallel for schedule(dynamic) num_threads(op.threads)
  for (int64_t begin = 0; begin < all; begin += op.rows)
    positions(windows, x, w, bias, y, begin, std::min(begin + op.rows, all));
}

// Adds what some neighbouring positions give to the gradient of w.
template <typename T>
INLINE void add(const Windows& windows, const Place& place, bool inside, const T* origin,
                const T* dy, int64_t count, float* sums) {
  const Im2col& op = windows.op;
  const int64_t x_step = op.stride[2] * op.groups;
  for (int64_t tap = 0; tap < op.taps; ++tap) {
    const int64_t* at = windows.taps + 3 * tap;
    if (!inside && !place.meets(windows, at)) continue;
    const T* from = origin + windows.pixel(at) * op.groups;
    for (int64_t c = 0; c < op.groups; c += LANES) {
      const int64_t channels = op.groups - c;
      float* to = sums + tap * op.groups + c;
      Floats sum = load(to, channels);
      for (int64_t i = 0; i < count; ++i)
        sum += load(from + i * x_step + c, channels) * load(dy + i * op.groups + c, channels);
      store(to, sum, channels);
    }
  }
}

// dw (taps, C) is zero before; each thread has sums of that size, which are added in turn.
template <typename T>
void weights(const Im2col& op, const T* x, const int64_t* taps, const T* dy, float* dw,
             float* buffers) {
  const Windows windows(op, taps);
  const int64_t all = op.pictures * windows.positions, size = op.taps * op.groups;
#pragma omp parallel num_threads(op.threads)
  {
    const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    float* sums = buffers + thread * size;
    std::fill(sums, sums + size, 0.0f);
    int64_t begin = all * thread / threads;
    const int64_t end = all * (thread + 1) / threads;
    for (Place place(windows, begin); begin < end;) {
      const int64_t inside = std::min({end - begin, place.inside(windows), op.rows});
      const int64_t done = std::max<int64_t>(1, inside);
      add(windows, place, inside > 0,
          x + (place.n * windows.pixels + windows.pixel(place.origin)) * op.groups,
          dy + begin * op.groups, done, sums);
      place.skip(op, done);
      begin += done;
    }
#pragma omp for ordered schedule(static, 1)
    for (int64_t each = 0; each < threads; ++each)
#pragma omp ordered
      for (int64_t i = 0; i < size; ++i) dw[i] += sums[i];
  }
}

}  // namespace

extern "C" {

void depthwise_float32(const Im2col* op, const float* x, const int64_t* taps, const float* w,
                       const float* bias, float* y) {
  depthwise(*op, x, taps, w, bias, y);
}

void depthwise_bfloat16(const Im2col* op, const bfloat16* x, const int64_t* taps, const float* w,
                        const float* bias, bfloat16* y) {
  depthwise(*op, x, taps, w, bias, y);
}

void depthwise_weights_float32(const Im2col* op, const float* x, const int64_t* taps,
                               const float* dy, float* dw, float* buffers) {
  weights(*op, x, taps, dy, dw, buffers);
}

void depthwise_weights_bfloat16(const Im2col* op, const bfloat16* x, const int64_t* taps,
                                const bfloat16* dy, float* dw, float* buffers) {
  weights(*op, x, taps, dy, dw, buffers);
}
}
