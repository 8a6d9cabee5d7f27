// The gradient of a 3x3 convolution's weights by Winograd's algorithm, F(3 x 3, m x m): a kernel's
// gradient is a correlation of the picture with the output's gradient. With the matrices of three
// outputs and m taps,
//
//   dw = A^T [sum over tiles of (G dy G^T) * (B^T x B)] A
//
// for tiles of m x m of dy and (m + 2) x (m + 2) of x. At each point the sum is a product of
// matrices, kernels x tiles by tiles x channels; a block of tiles at a time adds to it.

#include "winograd.h"

namespace {

struct Sizes {
  const Winograd& op;
  int64_t points, channels, kernels;  // of a group
  int64_t rows, columns, tiles;       // of tiles in a picture; in all
  int64_t z_step, z_plane, v_panel, v_plane, p_panel, p_plane;

  explicit Sizes(const Winograd& op)
      : op(op), points((op.m + 2) * (op.m + 2)), channels(op.c / op.groups),
        kernels(op.k / op.groups), rows((op.out_h + op.m - 1) / op.m),
        columns((op.out_w + op.m - 1) / op.m), tiles(op.n * rows * columns),
        z_step(apart(kernels)), z_plane(op.block * z_step), v_panel(op.block * COLUMNS),
        v_plane(apart(panels(channels) * v_panel)), p_panel(kernels * COLUMNS),
        p_plane(apart(panels(channels) * p_panel)) {}
};

// One tile of dy and of x to points: z as [point][tile][kernel], v as [point][panel][tile][channel
// of the panel].
template <int M, typename T>
void tile_to_points(const Sizes& sizes, const T* x, const T* dy, int64_t tile, int64_t group,
                    int64_t t, float* z, float* v) {
  using Matrices = CookToom<3, M>;
  constexpr int N = Matrices::N;
  const Winograd& op = sizes.op;
  const int64_t in_picture = sizes.rows * sizes.columns;
  const int64_t n = tile / in_picture, place = tile % in_picture;
  const int64_t row = place / sizes.columns * M, column = place % sizes.columns * M;
  const Square out(row, column, M, op.out_h, op.out_w);
  picture_to_points<N, M>(
      [](const Floats* from, Floats* to) { kernel_points<Matrices, M>(from, to); },
      dy + n * op.out_h * op.out_w * op.k + group * sizes.kernels, out, op.out_w, op.k,
      sizes.kernels, z + t * sizes.z_step, sizes.z_plane);
  const Square in(row - op.padding_h, column - op.padding_w, N, op.h, op.w);
  picture_to_points<N, N>(
      [](const Floats* from, Floats* to) { input_points<Matrices>(from, to); },
      x + n * op.h * op.w * op.c + group * sizes.channels, in, op.w, op.c, sizes.channels,
      v + t * COLUMNS, sizes.v_plane, sizes.v_panel);
}

// Adds COUNT kernels by one panel of channels over `depth` tiles to p, or stores them if `first`.
template <int64_t COUNT>
INLINE void add_products(int64_t depth, const float* z, int64_t z_step, const float* v, float* p,
                         bool first) {
  Floats sum[COUNT][2] = {};
  for (int64_t d = 0; d < depth; ++d, z += z_step, v += COLUMNS) {
    const Floats low = load(v), high = load(v + LANES);
    for (int64_t i = 0; i < COUNT; ++i) {
      const Floats each = all(z[i]);
      sum[i][0] += each * low;
      sum[i][1] += each * high;
    }
  }
  for (int64_t i = 0; i < COUNT; ++i, p += COLUMNS) {
    store(p, first ? sum[i][0] : load(p) + sum[i][0]);
    store(p + LANES, first ? sum[i][1] : load(p + LANES) + sum[i][1]);
  }
}

template <int64_t COUNT = ROWS>
static void add_panel(int64_t kernels, int64_t depth, const float* z, int64_t z_step,
                      const float* v, float* p, bool first) {
  for (; kernels >= COUNT; kernels -= COUNT, z += COUNT, p += COUNT * COLUMNS)
    add_products<COUNT>(depth, z, z_step, v, p, first);
  if constexpr (COUNT > 1)
    if (kernels) add_panel<COUNT - 1>(kernels, depth, z, z_step, v, p, first);
}

// One kernel's gradient (3, 3, channels) from its sums at the points.
template <int M>
void kernel_from_points(const Sizes& sizes, const float* p, float* dw) {
  using Matrices = CookToom<3, M>;
  constexpr int N = Matrices::N;
  for (int64_t first = 0; first < sizes.channels; first += LANES) {
    const float* from = p + first / COLUMNS * sizes.p_panel + first % COLUMNS;
    Floats half[3][N];
    for (int j = 0; j < N; ++j) {
      Floats column[N], out[3];
      for (int i = 0; i < N; ++i) column[i] = load(from + (i * N + j) * sizes.p_plane);
      from_points<Matrices, 3>(column, out);
      for (int i = 0; i < 3; ++i) half[i][j] = out[i];
    }
    for (int i = 0; i < 3; ++i) {
      Floats out[3];
      from_points<Matrices, 3>(half[i], out);
      for (int j = 0; j < 3; ++j)
        store(dw + (i * 3 + j) * sizes.channels + first, out[j], sizes.channels - first);
    }
  }
}

template <int M, typename T>
void gradient(const Winograd& op, const T* x, const T* dy, float* dw, float* work) {
  const Sizes sizes(op);
  float* p = work;
  float* z = p + sizes.points * sizes.p_plane;
  float* v = z + sizes.points * sizes.z_plane;
  take_large_pages(work, sizes.points * (sizes.p_plane + sizes.z_plane + sizes.v_plane));
  const int64_t in_panels = panels(sizes.channels);
#pragma omp parallel num_threads(op.threads)
  for (int64_t group = 0; group < op.groups; ++group) {
    for (int64_t begin = 0; begin < sizes.tiles; begin += op.block) {
      const int64_t count = std::min(op.block, sizes.tiles - begin);
#pragma omp for
      for (int64_t t = 0; t < count; ++t)
        tile_to_points<M>(sizes, x, dy, begin + t, group, t, z, v);
#pragma omp for collapse(2)
      for (int64_t point = 0; point < sizes.points; ++point)
        for (int64_t panel = 0; panel < in_panels; ++panel)
          add_panel(sizes.kernels, count, z + point * sizes.z_plane, sizes.z_step,
                    v + point * sizes.v_plane + panel * sizes.v_panel,
                    p + point * sizes.p_plane + panel * sizes.p_panel, !begin);
    }
#pragma omp for
    for (int64_t k = 0; k < sizes.kernels; ++k)
      kernel_from_points<M>(sizes, p + k * COLUMNS,
                            dw + (group * sizes.kernels + k) * 9 * sizes.channels);
  }
}

template <typename T>
void winograd_weights(const Winograd& op, const T* x, const T* dy, float* dw, float* work) {
  if (op.m == 2) return gradient<2>(op, x, dy, dw, work);
  if (op.m == 4) return gradient<4>(op, x, dy, dw, work);
  if (op.m == 6) return gradient<6>(op, x, dy, dw, work);
}

}  // namespace

// dw (k, 3, 3, c / groups).
extern "C" {

void winograd_weights_float32(const Winograd* op, const float* x, const float* dy, float* dw,
                              float* work) {
  winograd_weights(*op, x, dy, dw, work);
}

void winograd_weights_bfloat16(const Winograd* op, const bfloat16* x, const bfloat16* dy,
                               float* dw, float* work) {
  winograd_weights(*op, x, dy, dw, work);
}
}
