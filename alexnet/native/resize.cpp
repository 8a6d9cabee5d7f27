// Pictures of bytes scaled by the antialiased bilinear filter, and only the window that is wanted.
//
// The same sums in the same integers as torch's interpolate(mode="bilinear", antialias=True) of
// uint8, which has them from Pillow: first along rows, rounded to bytes, then along columns.

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

struct Resize {
  int64_t h, w, new_h, new_w;        // picture (h, w, 3) as if scaled to (new_h, new_w, 3)
  int64_t top, left, out_h, out_w;   // of which this window is computed, (out_h, out_w, 3)
};

namespace {

constexpr int64_t GROUP = 4;  // taps that are added up at a time
constexpr int64_t BLOCK = 16;  // bytes of a row that are added up at a time
constexpr int64_t SLACK = 16;  // bytes that a load may reach past its taps

// The taps of each place along an axis: `first` in the picture, weights as whole numbers.
struct Axis {
  int64_t taps = 0;  // a multiple of GROUP; those past the last have no weight
  int precision = 0;
  std::vector<int32_t> first;
  std::vector<int16_t> weights;

  const int16_t* at(int64_t i) const { return &weights[i * taps]; }
};

// Not contracted into fused multiply-adds: torch's, too, rounds each product.
__attribute__((optimize("fp-contract=off"))) void describe(Axis& axis, int64_t length,
                                                           int64_t new_length) {
  const double scale = double(length) / double(new_length);
  const double support = std::max(scale, 1.0), inverse = scale >= 1.0 ? 1.0 / scale : 1.0;
  const int64_t most = int64_t(std::ceil(support)) * 2 + 1;
  axis.taps = (most + GROUP - 1) / GROUP * GROUP;
  std::vector<double> exact(new_length * axis.taps, 0.0);
  axis.first.resize(new_length);
  double largest = 0.0;
  int64_t widest = 0;
  for (int64_t i = 0; i < new_length; ++i) {
    const double centre = scale * (double(i) + 0.5);
    const int64_t low = std::max<int64_t>(int64_t(centre - support + 0.5), 0);
    const int64_t count =
        std::clamp<int64_t>(std::min(int64_t(centre + support + 0.5), length) - low, 0, most);
    double* weights = &exact[i * axis.taps];
    double total = 0.0;
    for (int64_t j = 0; j < count; ++j) {
      const double distance = std::fabs((double(j + low) - centre + 0.5) * inverse);
      weights[j] = distance < 1.0 ? 1.0 - distance : 0.0;
      total += weights[j];
    }
    for (int64_t j = 0; j < count && total != 0.0; ++j) {
      weights[j] /= total;
      largest = std::max(largest, weights[j]);
    }
    axis.first[i] = int32_t(low);
    widest = std::max(widest, count);
  }
  axis.precision = 0;
  while (axis.precision < 22 && int(0.5 + largest * (1 << (axis.precision + 1))) < 1 << 15)
    ++axis.precision;
  const int64_t stride = axis.taps;
  axis.taps = (widest + GROUP - 1) / GROUP * GROUP;
  axis.weights.assign(new_length * axis.taps, 0);
  for (int64_t i = 0; i < new_length; ++i)
    for (int64_t j = 0; j < widest; ++j)
      axis.weights[i * axis.taps + j] =
          int16_t(0.5 + exact[i * stride + j] * (1 << axis.precision));
}

INLINE uint8_t rounded(int32_t sum, int precision) {
  const int32_t level = sum >> precision;
  return uint8_t(level < 0 ? 0 : level > 255 ? 255 : level);
}

#if defined(__AVX2__)

INLINE __m256i pair_of(const int16_t* weights) {
  int32_t both;
  memcpy(&both, weights, sizeof both);
  return _mm256_set1_epi32(both);
}

// Two rows at a time, one in each half of a register. A load may reach SLACK bytes past a row.
// TAPS is the number of taps where the compiler is to know it, or 0.
template <int TAPS>
void rows_of(const Axis& axis, int64_t left, int64_t count, const uint8_t* row,
             const uint8_t* next, uint8_t* to, uint8_t* to_next) {
  const __m256i early = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i late = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  const __m256i half = _mm256_set1_epi32(1 << (axis.precision - 1));
  const __m128i shift = _mm_cvtsi32_si128(axis.precision);
  const int64_t taps = TAPS ? TAPS : axis.taps;
  const int16_t* weights = axis.at(left);
  const int32_t* first = &axis.first[left];
  for (int64_t x = 0; x < count; ++x, weights += taps) {
    const int64_t at = int64_t(first[x]) * 3;
    __m256i sum = half;
    for (int64_t tap = 0; tap < taps; tap += GROUP) {
      const __m128i low = _mm_loadu_si128((const __m128i*)(row + at + tap * 3));
      const __m128i high = _mm_loadu_si128((const __m128i*)(next + at + tap * 3));
      const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
      const __m256i a = _mm256_shuffle_epi8(both, early), b = _mm256_shuffle_epi8(both, late);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, pair_of(weights + tap)));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(b, pair_of(weights + tap + 2)));
    }
    sum = _mm256_sra_epi32(sum, shift);
    sum = _mm256_packs_epi32(sum, sum);
    sum = _mm256_packus_epi16(sum, sum);
    const int32_t above = _mm256_extract_epi32(sum, 0), below = _mm256_extract_epi32(sum, 4);
    memcpy(to + x * 3, &above, sizeof above);
    memcpy(to_next + x * 3, &below, sizeof below);
  }
}

INLINE void along_rows(const Axis& axis, int64_t left, int64_t count, const uint8_t* row,
                       const uint8_t* next, uint8_t* to, uint8_t* to_next) {
  auto* run = axis.taps == GROUP ? rows_of<GROUP> : rows_of<0>;
  run(axis, left, count, row, next, to, to_next);
}

// One row of the result: a sum of rows that are `stride` bytes apart.
template <int TAPS>
void columns_of(const Axis& axis, const int16_t* weights, const uint8_t* rows, int64_t stride,
                int64_t line, uint8_t* to) {
  const __m256i half = _mm256_set1_epi32(1 << (axis.precision - 1));
  const __m128i shift = _mm_cvtsi32_si128(axis.precision);
  const int64_t taps = TAPS ? TAPS : axis.taps;
  for (int64_t i = 0; i < line; i += BLOCK) {
    __m256i low = half, high = half;
    for (int64_t tap = 0; tap < taps; tap += 2) {
      const __m128i a = _mm_loadu_si128((const __m128i*)(rows + i + tap * stride));
      const __m128i b = _mm_loadu_si128((const __m128i*)(rows + i + (tap + 1) * stride));
      const __m256i pair = pair_of(weights + tap);
      const __m256i first = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
      const __m256i second = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(first, pair));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(second, pair));
    }
    const __m256i words = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(_mm256_sra_epi32(low, shift), _mm256_sra_epi32(high, shift)), 0xd8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (line - i >= BLOCK)
      _mm_storeu_si128((__m128i*)(to + i), bytes);
    else
      memcpy(to + i, &bytes, line - i);
  }
}

INLINE void along_columns(const Axis& axis, const int16_t* weights, const uint8_t* rows,
                          int64_t stride, int64_t line, uint8_t* to) {
  auto* run = axis.taps == GROUP ? columns_of<GROUP> : columns_of<0>;
  run(axis, weights, rows, stride, line, to);
}

#else

void along_rows(const Axis& axis, int64_t left, int64_t count, const uint8_t* row,
                const uint8_t* next, uint8_t* to, uint8_t* to_next) {
  const int32_t half = 1 << (axis.precision - 1);
  for (int64_t x = 0; x < count; ++x) {
    const int16_t* weights = axis.at(left + x);
    const int64_t at = int64_t(axis.first[left + x]) * 3;
    for (int64_t colour = 0; colour < 3; ++colour) {
      int32_t sum = half, sum_next = half;
      for (int64_t tap = 0; tap < axis.taps; ++tap) {
        sum += weights[tap] * row[at + tap * 3 + colour];
        sum_next += weights[tap] * next[at + tap * 3 + colour];
      }
      to[x * 3 + colour] = rounded(sum, axis.precision);
      to_next[x * 3 + colour] = rounded(sum_next, axis.precision);
    }
  }
}

void along_columns(const Axis& axis, const int16_t* weights, const uint8_t* rows, int64_t stride,
                   int64_t line, uint8_t* to) {
  for (int64_t i = 0; i < line; ++i) {
    int32_t sum = 1 << (axis.precision - 1);
    for (int64_t tap = 0; tap < axis.taps; ++tap) sum += weights[tap] * rows[tap * stride + i];
    to[i] = rounded(sum, axis.precision);
  }
}

#endif

// A row of the picture, with room behind it for loads that reach past its end.
INLINE const uint8_t* roomy(const Resize& op, const uint8_t* picture, int64_t y, int64_t room,
                            std::vector<uint8_t>& copy) {
  const int64_t line = op.w * 3;
  if ((y + 1) * line + room <= op.h * line) return picture + y * line;
  copy.assign(line + room, 0);
  memcpy(copy.data(), picture + y * line, line);
  return copy.data();
}

}  // namespace

extern "C" void resize(const Resize* described, const uint8_t* picture, uint8_t* out) {
  const Resize& op = *described;
  static thread_local Axis across, down;
  static thread_local std::vector<uint8_t> narrow, copy, copy_next;  // kept: new pages are slow
  describe(across, op.w, op.new_w);
  describe(down, op.h, op.new_h);
  const int64_t line = op.out_w * 3, stride = (line + BLOCK - 1) / BLOCK * BLOCK + BLOCK;
  const int64_t from = down.first[op.top];
  const int64_t last = down.first[op.top + op.out_h - 1] + down.taps;
  const int64_t until = std::min(op.h, last);
  // Taps past the picture's end have no weight, but their rows are read.
  if (int64_t(narrow.size()) < (last - from + 1) * stride) narrow.resize((last - from + 1) * stride);
  const int64_t room = across.taps * 3 + SLACK;
  for (int64_t y = from; y < until; y += 2) {
    const int64_t other = std::min(y + 1, until - 1);
    uint8_t* to = &narrow[(y - from) * stride];
    along_rows(across, op.left, op.out_w, roomy(op, picture, y, room, copy),
               roomy(op, picture, other, room, copy_next), to, to + (other - y) * stride);
  }
  for (int64_t y = 0; y < op.out_h; ++y) {
    const int16_t* weights = down.at(op.top + y);
    const uint8_t* rows = &narrow[(down.first[op.top + y] - from) * stride];
    along_columns(down, weights, rows, stride, line, out + y * line);
  }
}
