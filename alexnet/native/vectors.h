// Vectors as wide as the processor's registers, in the compiler's own notation: the same source
// serves AVX-512, AVX2, SSE2 and NEON, with the same numbers but for the fused multiply-adds.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef int32_t Mask __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));
typedef uint8_t Bytes __attribute__((vector_size(LANES)));
typedef int8_t SignedBytes __attribute__((vector_size(LANES)));

struct bfloat16 {
  uint16_t bits;
};

#define INLINE static inline __attribute__((always_inline))

INLINE Floats all(float value) { return value - Floats{}; }

// GCC 12 takes conversions between vectors of different widths apart; these are one instruction
// each, or two.
#if defined(__AVX512F__)
INLINE Words widen_words(Halves halves) { return (Words)_mm512_cvtepu16_epi32((__m256i)halves); }
INLINE Words widen(Bytes bytes) { return (Words)_mm512_cvtepu8_epi32((__m128i)bytes); }
INLINE Mask widen(SignedBytes bytes) { return (Mask)_mm512_cvtepi8_epi32((__m128i)bytes); }
INLINE Halves to_halves(Words words) { return (Halves)_mm512_cvtepi32_epi16((__m512i)words); }
INLINE Bytes to_bytes(Words words) { return (Bytes)_mm512_cvtepi32_epi8((__m512i)words); }
#elif defined(__AVX2__)
INLINE Words widen_words(Halves halves) { return (Words)_mm256_cvtepu16_epi32((__m128i)halves); }
INLINE Words widen(Bytes bytes) { return (Words)_mm256_cvtepu8_epi32(_mm_loadu_si64(&bytes)); }
INLINE Mask widen(SignedBytes bytes) {
  return (Mask)_mm256_cvtepi8_epi32(_mm_loadu_si64(&bytes));
}
INLINE Halves to_halves(Words words) {
  __m128i low = _mm256_castsi256_si128((__m256i)words);
  return (Halves)_mm_packus_epi32(low, _mm256_extracti128_si256((__m256i)words, 1));
}
INLINE Bytes to_bytes(Words words) {
  __m128i halves = (__m128i)to_halves(words);
  Bytes bytes;
  _mm_storeu_si64(&bytes, _mm_packus_epi16(halves, halves));
  return bytes;
}
#else
INLINE Words widen_words(Halves halves) { return __builtin_convertvector(halves, Words); }
INLINE Words widen(Bytes bytes) { return __builtin_convertvector(bytes, Words); }
INLINE Mask widen(SignedBytes bytes) { return __builtin_convertvector(bytes, Mask); }
INLINE Halves to_halves(Words words) { return __builtin_convertvector(words, Halves); }
INLINE Bytes to_bytes(Words words) { return __builtin_convertvector(words, Bytes); }
#endif

INLINE Floats widen(Halves halves) { return (Floats)(widen_words(halves) << 16); }

// To the nearest bfloat16, ties to even; what is not a number stays so.
INLINE Halves narrow(Floats floats) {
  Words bits = (Words)floats;
  Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  Words quiet = Words{} + 0x7fc0;
  return to_halves(floats != floats ? quiet : rounded);
}

INLINE Floats load(const float* from) {
  Floats floats;
  memcpy(&floats, from, sizeof floats);
  return floats;
}

INLINE Floats load(const bfloat16* from) {
  Halves halves;
  memcpy(&halves, from, sizeof halves);
  return widen(halves);
}

INLINE Floats load(const int8_t* from) {
  SignedBytes bytes;
  memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(widen(bytes), Floats);
}

INLINE float value(float number) { return number; }

INLINE float value(bfloat16 number) {
  uint32_t bits = uint32_t(number.bits) << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

INLINE void store(float* to, Floats floats) { memcpy(to, &floats, sizeof floats); }

INLINE void store(bfloat16* to, Floats floats) {
  Halves halves = narrow(floats);
  memcpy(to, &halves, sizeof halves);
}

// The first `count` elements; zeros behind them. All of them is the case that has to be quick.
template <typename T>
INLINE Floats load(const T* from, int64_t count) {
  if (count >= LANES) return load(from);
  T part[LANES] = {};
  memcpy(part, from, count * sizeof(T));
  return load(part);
}

template <typename T>
INLINE void store(T* to, Floats floats, int64_t count) {
  if (count >= LANES) return store(to, floats);
  T part[LANES];
  store(part, floats);
  memcpy(to, part, count * sizeof(T));
}

INLINE Words load_bytes(const uint8_t* from, int64_t count) {
  Bytes bytes = {};
  if (count >= LANES)
    memcpy(&bytes, from, LANES);
  else
    memcpy(&bytes, from, count);
  return widen(bytes);
}

INLINE void store_bytes(uint8_t* to, Words words, int64_t count) {
  Bytes bytes = to_bytes(words);
  if (count >= LANES)
    memcpy(to, &bytes, LANES);
  else
    memcpy(to, &bytes, count);
}

// max(x, 0), and what is not a number stays so.
INLINE Floats relu(Floats x) { return x < 0 ? Floats{} : x; }

INLINE int64_t round_up(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

// s ** -1/4 for s > 0, to 1e-7.
#if defined(__AVX2__) && !defined(__AVX512F__)
// On Zen 3 a quarter faster than what follows, since these do not wait for the multipliers.
INLINE Floats inverse_fourth_root(Floats s) {
  return 1 / (Floats)_mm256_sqrt_ps(_mm256_sqrt_ps((__m256)s));
}
#else
// With 16 lanes a root or a division takes about 20 cycles, all of this fewer: a guess from the
// exponent's bits (3 % off), then two steps of
//   e = 1 - s * r**4,   r <- r * (1 + e / 4 + 5 * e**2 / 32)
// which leave a third, then all, of the digits.
INLINE Floats inverse_fourth_root(Floats s) {
  s = s > 3e38f ? all(3e38f) : s;
  Floats r = (Floats)(0x4f586000 - ((Words)s >> 2));
  for (int step = 0; step < 2; ++step) {
    Floats square = r * r;
    Floats e = 1 - s * square * square;
    r += r * e * (0.25f + 0.15625f * e);
  }
  return r;
}
#endif

// r ** power for a power of 1 to 4.
INLINE Floats to_power(Floats r, int64_t power) {
  Floats square = r * r;
  return power == 3 ? square * r : power == 2 ? square : power == 4 ? square * square : r;
}
