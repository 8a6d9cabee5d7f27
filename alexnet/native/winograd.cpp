// Winograd's convolution F(m x m, 3 x 3) with its transforms fused:
//
//   y = A^T [sum over c of (G w G^T) * (B^T x B)] A + bias
//
// for tiles of m x m outputs, of which a block at a time passes all steps while it is in the cache.
// At each of the (m + 2)^2 points the sum over c is a product of matrices, tiles x channels by
// channels x kernels. The gradient of the input is the same with the weights' taps turned and
// kernels and channels exchanged.
//
// Source: Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".

#include <omp.h>

#include "winograd.h"

namespace {

// Channels whose products are added up in one go: so much of a panel stays in the nearest cache,
// and sums of sums lose less than one long sum.
constexpr int64_t DEPTH = 128;

struct Sizes {
  const Winograd& op;
  int64_t points, channels, kernels;   // of a group
  int64_t rows, columns, tiles;        // of tiles in a picture; in all
  int64_t v_step, m_step, v_plane, m_plane, u_panel, u_plane, u_group;

  explicit Sizes(const Winograd& op)
      : op(op), points((op.m + 2) * (op.m + 2)), channels(op.c / op.groups),
        kernels(op.k / op.groups), rows((op.out_h + op.m - 1) / op.m),
        columns((op.out_w + op.m - 1) / op.m), tiles(op.n * rows * columns),
        v_step(apart(channels)), m_step(panels(kernels) * COLUMNS), v_plane(op.block * v_step),
        m_plane(apart(op.block * m_step)), u_panel(channels * COLUMNS),
        u_plane(apart(panels(kernels) * u_panel)), u_group(points * u_plane) {}
};

// One panel of kernels to points: [point][panel][channel][kernel of the panel], zeros behind.
template <int M, typename T>
void kernels_to_points(const Sizes& sizes, const T* w, int64_t panel, float* out) {
  using Matrices = CookToom<M, 3>;
  constexpr int N = Matrices::N;
  const Winograd& op = sizes.op;
  const int64_t count = std::min(COLUMNS, sizes.kernels - panel * COLUMNS);
  const auto points = [](const Floats* x, Floats* to) { kernel_points<Matrices, 3>(x, to); };
  w += panel * COLUMNS * op.kernel_step;
  out += panel * sizes.u_panel;
  float taps[9][COLUMNS] = {};
  for (int64_t channel = 0; channel < sizes.channels; ++channel, w += op.channel_step) {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t tap = 0; tap < 9; ++tap)
        taps[op.turned ? 8 - tap : tap][i] = value(w[i * op.kernel_step + tap * op.tap_step]);
    for (int64_t half = 0; half < COLUMNS; half += LANES) {
      const auto pixel = [&](int i, int j) { return load(taps[i * 3 + j] + half); };
      square_to_points<N, 3>(points, pixel, out + channel * COLUMNS + half, sizes.u_plane);
    }
  }
}

// One tile from points to outputs of one picture y (out_h, out_w, k), from column `kernel` on.
template <int M, typename T>
INLINE void tile_from_points(const Sizes& sizes, const float* in, const Floats& bias, T* y,
                             int64_t count, int64_t high, int64_t wide) {
  using Matrices = CookToom<M, 3>;
  constexpr int N = Matrices::N;
  Floats half[M][N];
  for (int j = 0; j < N; ++j) {
    Floats column[N], out[M];
    for (int i = 0; i < N; ++i) column[i] = load(in + (i * N + j) * sizes.m_plane);
    from_points<Matrices, M>(column, out);
    for (int i = 0; i < M; ++i) half[i][j] = out[i];
  }
  for (int i = 0; i < M; ++i) {
    Floats out[M];
    from_points<Matrices, M>(half[i], out);
    if (i < high)
      for (int j = 0; j < M; ++j)
        if (j < wide) store(y + (i * sizes.op.out_w + j) * sizes.op.k, out[j] + bias, count);
  }
}

template <int M, typename T>
void block(const Sizes& sizes, const T* x, const float* u, const float* bias, T* y, float* v,
           float* m, int64_t begin, int64_t group) {
  using Matrices = CookToom<M, 3>;
  const Winograd& op = sizes.op;
  const int64_t count = std::min(op.block, sizes.tiles - begin);
  const int64_t in_picture = sizes.rows * sizes.columns;
  const auto points = [](const Floats* in, Floats* out) { input_points<Matrices>(in, out); };
  for (int64_t t = 0; t < count; ++t) {
    const int64_t n = (begin + t) / in_picture, place = (begin + t) % in_picture;
    const int64_t row = place / sizes.columns * M, column = place % sizes.columns * M;
    const Square square(row - op.padding_h, column - op.padding_w, M + 2, op.h, op.w);
    const T* from = x + n * op.h * op.w * op.c + group * sizes.channels;
    picture_to_points<M + 2, M + 2>(points, from, square, op.w, op.c, sizes.channels,
                                    v + t * sizes.v_step, sizes.v_plane);
  }
  for (int64_t point = 0; point < sizes.points; ++point)
    for (int64_t panel = 0; panel < panels(sizes.kernels); ++panel)
      for (int64_t c = 0; c < sizes.channels; c += DEPTH)
        product_panel(count, std::min(DEPTH, sizes.channels - c),
                      v + point * sizes.v_plane + c, sizes.v_step,
                      u + point * sizes.u_plane + panel * sizes.u_panel + c * COLUMNS,
                      m + point * sizes.m_plane + panel * COLUMNS, sizes.m_step, COLUMNS, c > 0);
  for (int64_t t = 0; t < count; ++t) {
    const int64_t n = (begin + t) / in_picture, place = (begin + t) % in_picture;
    const int64_t row = place / sizes.columns * M, column = place % sizes.columns * M;
    T* to = y + ((n * op.out_h + row) * op.out_w + column) * op.k + group * sizes.kernels;
    for (int64_t k = 0; k < sizes.kernels; k += LANES) {
      const int64_t some = sizes.kernels - k;
      const Floats add = bias ? load(bias + group * sizes.kernels + k, some) : Floats{};
      tile_from_points<M>(sizes, m + t * sizes.m_step + k, add, to + k, some, op.out_h - row,
                          op.out_w - column);
    }
  }
}

template <int M, typename T>
void convolve(const Winograd& op, const T* x, const T* w, const float* bias, T* y, float* work) {
  const Sizes sizes(op);
  const int64_t blocks = (sizes.tiles + op.block - 1) / op.block;
  const int64_t own = sizes.points * (sizes.v_plane + sizes.m_plane);  // floats of a thread
  float* u = work + op.threads * own;
  take_large_pages(work, op.threads * own + op.groups * sizes.u_group);
#pragma omp parallel num_threads(op.threads)
  {
#pragma omp for collapse(2)
    for (int64_t group = 0; group < op.groups; ++group)
      for (int64_t panel = 0; panel < panels(sizes.kernels); ++panel)
        kernels_to_points<M>(sizes, w + group * op.group_step, panel, u + group * sizes.u_group);
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t group = 0; group < op.groups; ++group)
      for (int64_t each = 0; each < blocks; ++each) {
        float* v = work + omp_get_thread_num() * own;
        block<M>(sizes, x, u + group * sizes.u_group, bias, y, v, v + sizes.points * sizes.v_plane,
                 each * op.block, group);
      }
  }
}

template <typename T>
void winograd(const Winograd& op, const T* x, const T* w, const float* bias, T* y, float* work) {
  if (op.m == 2) return convolve<2>(op, x, w, bias, y, work);
  if (op.m == 4) return convolve<4>(op, x, w, bias, y, work);
  if (op.m == 6) return convolve<6>(op, x, w, bias, y, work);
}

}  // namespace

extern "C" {

void winograd_float32(const Winograd* op, const float* x, const float* w, const float* bias,
                      float* y, float* work) {
  winograd(*op, x, w, bias, y, work);
}

void winograd_bfloat16(const Winograd* op, const bfloat16* x, const bfloat16* w,
                       const float* bias, bfloat16* y, float* work) {
  winograd(*op, x, w, bias, y, work);
}
}
