// Response normalisation over positions of the same channel, pixels stored channels last.
//
//   y = x * (bias + alpha * sum(x[i, j] ** 2 over the box around x)) ** -beta,   beta = power / 4
//
// One vector of channels of one image at a time, so that all of its squares stay in cache.

#include <vector>

#include "vectors.h"

struct SpatialNorm {
  int64_t n, h, w, c;
  int64_t below, above;  // the box reaches that far up and left, and that far down and right
  int64_t power;
  float bias, alpha;
};

namespace {

// One vector a pixel, with zeros around the picture.
struct Plane {
  const SpatialNorm& op;
  int64_t before, width;
  std::vector<float> data, across;

  Plane(const SpatialNorm& op, int64_t before, int64_t after)
      : op(op), before(before), width(op.w + before + after),
        data((op.h + before + after) * width * LANES, 0.0f), across(data.size(), 0.0f) {}

  float* at(int64_t h, int64_t w) { return &data[((h + before) * width + w + before) * LANES]; }

  // Sums along rows; `box_sum` adds them along columns.
  void sum_rows() {
    const int64_t window = op.below + 1 + op.above;
    for (int64_t h = 0; h < op.h; ++h)
      for (int64_t w = 0; w < op.w; ++w) {
        const float* from = at(h, w - before);
        Floats sum = load(from);
        for (int64_t j = 1; j < window; ++j) sum += load(from + j * LANES);
        store(&across[((h + before) * width + w) * LANES], sum);
      }
  }

  Floats box_sum(int64_t h, int64_t w) const {
    const int64_t window = op.below + 1 + op.above;
    const float* from = &across[(h * width + w) * LANES];
    Floats sum = load(from);
    for (int64_t i = 1; i < window; ++i) sum += load(from + i * width * LANES);
    return sum;
  }
};

template <typename T>
void load_squares(const SpatialNorm& op, const T* x, int64_t count, Plane& squares) {
  for (int64_t h = 0; h < op.h; ++h)
    for (int64_t w = 0; w < op.w; ++w) {
      Floats a = load(x + (h * op.w + w) * op.c, count);
      store(squares.at(h, w), a * a);
    }
  squares.sum_rows();
}

template <typename T>
void forward(const SpatialNorm& op, const T* x, T* y) {
#pragma omp parallel
  {
    Plane squares(op, op.below, op.above);
#pragma omp for schedule(static) collapse(2)
    for (int64_t n = 0; n < op.n; ++n)
      for (int64_t i = 0; i < op.c; i += LANES) {
        const int64_t image = n * op.h * op.w * op.c + i, count = op.c - i;
        load_squares(op, x + image, count, squares);
        for (int64_t h = 0; h < op.h; ++h)
          for (int64_t w = 0; w < op.w; ++w) {
            const int64_t at = image + (h * op.w + w) * op.c;
            Floats s = op.bias + op.alpha * squares.box_sum(h, w);
            store(y + at, load(x + at, count) * to_power(inverse_fourth_root(s), op.power), count);
          }
      }
  }
}

template <typename T>
void backward(const SpatialNorm& op, const T* dy, const T* x, T* dx) {
  const float factor = -0.5f * op.power * op.alpha;
#pragma omp parallel
  {
    Plane squares(op, op.below, op.above), products(op, op.above, op.below);
    std::vector<float> scaled(op.h * op.w * LANES);
#pragma omp for schedule(static) collapse(2)
    for (int64_t n = 0; n < op.n; ++n)
      for (int64_t i = 0; i < op.c; i += LANES) {
        const int64_t image = n * op.h * op.w * op.c + i, count = op.c - i;
        load_squares(op, x + image, count, squares);
        for (int64_t h = 0; h < op.h; ++h)
          for (int64_t w = 0; w < op.w; ++w) {
            const int64_t pixel = h * op.w + w, at = image + pixel * op.c;
            Floats r = inverse_fourth_root(op.bias + op.alpha * squares.box_sum(h, w));
            Floats d = load(dy + at, count) * to_power(r, op.power);
            store(&scaled[pixel * LANES], d);
            store(products.at(h, w), d * load(x + at, count) * to_power(r, 4));
          }
        products.sum_rows();
        for (int64_t h = 0; h < op.h; ++h)
          for (int64_t w = 0; w < op.w; ++w) {
            const int64_t pixel = h * op.w + w, at = image + pixel * op.c;
            Floats d = load(&scaled[pixel * LANES]);
            d += factor * load(x + at, count) * products.box_sum(h, w);
            store(dx + at, d, count);
          }
      }
  }
}

}  // namespace

extern "C" {

void spatial_norm_float32(const SpatialNorm* op, const float* x, float* y) { forward(*op, x, y); }

void spatial_norm_bfloat16(const SpatialNorm* op, const bfloat16* x, bfloat16* y) {
  forward(*op, x, y);
}

void spatial_norm_backward_float32(const SpatialNorm* op, const float* dy, const float* x,
                                   float* dx) {
  backward(*op, dy, x, dx);
}

void spatial_norm_backward_bfloat16(const SpatialNorm* op, const bfloat16* dy, const bfloat16* x,
                                    bfloat16* dx) {
  backward(*op, dy, x, dx);
}
}
