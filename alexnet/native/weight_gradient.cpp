// The gradient of a convolution's weights, stride 1, pixels stored channels last; sums are float32:
//
//   dw[k][r][s][c] = sum over n, p, q of dy[n][p][q][k] * x[n][p + r - padding][q + s - padding][c]
//
// with c counted within the group of k. A tile of kernels times channels stays in registers while
// the pixels of a picture pass by. Both operands are laid out anew for that: pixels of one tile lie
// next to each other, x with its padding.

#include <algorithm>
#include <vector>

#include "vectors.h"

struct WeightGradient {
  int64_t n, h, w, c;        // x
  int64_t k, out_h, out_w;   // dy
  int64_t size_h, size_w, padding, groups;
};

namespace {

constexpr int64_t KERNELS = LANES == 16 ? 12 : 6;  // of a tile: twelve or 24 sums in registers
constexpr int64_t CHANNELS = 2 * LANES;
constexpr int64_t PICTURES = 8;  // laid out at a time

struct Sizes {
  const WeightGradient& op;
  int64_t kernels, channels;            // of a group
  int64_t kernel_tiles, channel_tiles;  // of a group
  int64_t pixels, padded_w, padded_pixels;

  explicit Sizes(const WeightGradient& op)
      : op(op), kernels(op.k / op.groups), channels(op.c / op.groups),
        kernel_tiles((kernels + KERNELS - 1) / KERNELS),
        channel_tiles((channels + CHANNELS - 1) / CHANNELS), pixels(op.out_h * op.out_w),
        padded_w(op.w + 2 * op.padding), padded_pixels((op.h + 2 * op.padding) * padded_w) {}
};

// One picture's dy as [group][tile][pixel][kernel of the tile]; zeros fill the last tile.
template <typename T>
void lay_out_gradient(const Sizes& sizes, const T* dy, float* out) {
  for (int64_t g = 0; g < sizes.op.groups; ++g)
    for (int64_t tile = 0; tile < sizes.kernel_tiles; ++tile) {
      const int64_t first = tile * KERNELS, count = std::min(KERNELS, sizes.kernels - first);
      const T* from = dy + g * sizes.kernels + first;
      for (int64_t pixel = 0; pixel < sizes.pixels; ++pixel, out += KERNELS, from += sizes.op.k)
        for (int64_t i = 0; i < KERNELS; ++i) out[i] = i < count ? value(from[i]) : 0.0f;
    }
}

// One picture's x for one tile of channels as [padded row][padded column][channel of the tile].
// The padding is zero already.
template <typename T>
void lay_out_picture(const Sizes& sizes, const T* x, int64_t count, float* out) {
  const WeightGradient& op = sizes.op;
  for (int64_t h = 0; h < op.h; ++h)
    for (int64_t w = 0; w < op.w; ++w) {
      const T* from = x + (h * op.w + w) * op.c;
      float* to = out + ((h + op.padding) * sizes.padded_w + w + op.padding) * CHANNELS;
      store(to, load(from, count));
      if (count > LANES) store(to + LANES, load(from + LANES, count - LANES));
    }
}

// Adds one picture's share to a tile of dw at one place (r, s) of the kernel.
INLINE void accumulate(const Sizes& sizes, const float* x, const float* dy, float* dw,
                       int64_t kernels, int64_t channels) {
  const WeightGradient& op = sizes.op;
  Floats sum[KERNELS][2] = {};
  for (int64_t p = 0; p < op.out_h; ++p) {
    const float* pixel = x + p * sizes.padded_w * CHANNELS;
    for (int64_t q = 0; q < op.out_w; ++q, pixel += CHANNELS, dy += KERNELS) {
      const Floats low = load(pixel), high = load(pixel + LANES);
      for (int64_t i = 0; i < KERNELS; ++i) {
        const Floats gradient = all(dy[i]);
        sum[i][0] += gradient * low;
        sum[i][1] += gradient * high;
      }
    }
  }
  const int64_t stride = op.size_h * op.size_w * sizes.channels;
  for (int64_t i = 0; i < kernels; ++i) {
    float* to = dw + i * stride;
    store(to, load(to, channels) + sum[i][0], channels);
    if (channels > LANES)
      store(to + LANES, load(to + LANES, channels - LANES) + sum[i][1], channels - LANES);
  }
}

// One tile of channels of one group: all kernels, all places, some pictures.
template <typename T>
void channel_tile(const Sizes& sizes, const T* x, const float* gradients, float* dw,
                  int64_t pictures, int64_t g, int64_t tile, float* padded) {
  const WeightGradient& op = sizes.op;
  const int64_t first = tile * CHANNELS, count = std::min(CHANNELS, sizes.channels - first);
  const int64_t panel = sizes.pixels * KERNELS;
  for (int64_t n = 0; n < pictures; ++n) {
    lay_out_picture(sizes, x + n * op.h * op.w * op.c + g * sizes.channels + first, count, padded);
    const float* dy = gradients + (n * op.groups + g) * sizes.kernel_tiles * panel;
    for (int64_t t = 0; t < sizes.kernel_tiles; ++t, dy += panel)
      for (int64_t r = 0; r < op.size_h; ++r)
        for (int64_t s = 0; s < op.size_w; ++s) {
          const int64_t k = g * sizes.kernels + t * KERNELS;
          float* to = dw + ((k * op.size_h + r) * op.size_w + s) * sizes.channels + first;
          accumulate(sizes, padded + (r * sizes.padded_w + s) * CHANNELS, dy, to,
                     std::min(KERNELS, sizes.kernels - t * KERNELS), count);
        }
  }
}

template <typename T>
void weight_gradient(const WeightGradient& op, const T* x, const T* dy, float* dw) {
  const Sizes sizes(op);
  const int64_t image = op.groups * sizes.kernel_tiles * sizes.pixels * KERNELS;
  std::vector<float> gradients(std::min(PICTURES, op.n) * image);
#pragma omp parallel
  {
    std::vector<float> padded(sizes.padded_pixels * CHANNELS, 0.0f);
    for (int64_t begin = 0; begin < op.n; begin += PICTURES) {
      const int64_t pictures = std::min(PICTURES, op.n - begin);
#pragma omp for schedule(static)
      for (int64_t n = 0; n < pictures; ++n)
        lay_out_gradient(sizes, dy + (begin + n) * sizes.pixels * op.k, &gradients[n * image]);
#pragma omp for schedule(dynamic) collapse(2)
      for (int64_t g = 0; g < op.groups; ++g)
        for (int64_t tile = 0; tile < sizes.channel_tiles; ++tile)
          channel_tile(sizes, x + begin * op.h * op.w * op.c, gradients.data(), dw, pictures, g,
                       tile, padded.data());
    }
  }
}

}  // namespace

// dw (k, size_h, size_w, c / groups) is zero when these are called.
extern "C" {

void weight_gradient_float32(const WeightGradient* op, const float* x, const float* dy, float* dw) {
  weight_gradient(*op, x, dy, dw);
}

void weight_gradient_bfloat16(const WeightGradient* op, const bfloat16* x, const bfloat16* dy,
                              float* dw) {
  weight_gradient(*op, x, dy, dw);
}
}
