// What else a training step does to memory: windows cut from pictures, and the update of weights.

#include <vector>

#include "vectors.h"

struct Cut {
  int64_t n, h, w, size;  // pictures (n, h, w, 3) of bytes; windows (n, size, size, 3)
  float divide_by;
};

struct Update {
  int64_t count;
  float momentum, rate, decay;
};

namespace {

// out = (picture - mean + shift) / divide_by in a window; mirrored after the mean is subtracted
template <typename T>
void cut(const Cut& op, const uint8_t* pictures, const int64_t* top, const int64_t* left,
         const uint8_t* flip, const float* mean, const float* shift, T* out) {
  const int64_t line = op.size * 3;
#pragma omp parallel
  {
    std::vector<float> row(line + LANES), mirrored(line + LANES), pattern(line + LANES);
#pragma omp for schedule(static)
    for (int64_t n = 0; n < op.n; ++n) {
      for (int64_t i = 0; i < line; ++i) pattern[i] = shift ? shift[n * 3 + i % 3] : 0.0f;
      for (int64_t y = 0; y < op.size; ++y) {
        const int64_t at = ((top[n] + y) * op.w + left[n]) * 3;
        const uint8_t* from = pictures + n * op.h * op.w * 3 + at;
        for (int64_t i = 0; i < line; i += LANES) {
          Floats value = __builtin_convertvector((Mask)load_bytes(from + i, line - i), Floats);
          if (mean) value -= load(mean + at + i, line - i);
          value += load(&pattern[i]);
          if (op.divide_by != 1) value /= op.divide_by;
          store(&row[i], value);
        }
        const float* result = row.data();
        if (flip[n]) {
          for (int64_t i = 0; i < line; i += 3)
            for (int64_t colour = 0; colour < 3; ++colour)
              mirrored[line - 3 - i + colour] = row[i + colour];
          result = mirrored.data();
        }
        T* to = out + (n * op.size + y) * line;
        for (int64_t i = 0; i < line; i += LANES) store(to + i, load(result + i), line - i);
      }
    }
  }
}

// velocity <- momentum * velocity + rate * (gradient + decay * weight);  weight <- weight - velocity
template <typename T>
void update(const Update& op, float* weights, float* velocities, const T* gradients,
            bfloat16* copies) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < op.count; i += LANES) {
    const int64_t count = op.count - i;
    Floats w = load(weights + i, count);
    Floats v = op.momentum * load(velocities + i, count);
    v += op.rate * (load(gradients + i, count) + op.decay * w);
    w -= v;
    store(velocities + i, v, count);
    store(weights + i, w, count);
    if (copies) store(copies + i, w, count);
  }
}

}  // namespace

extern "C" {

void cut_float32(const Cut* op, const uint8_t* pictures, const int64_t* top, const int64_t* left,
                 const uint8_t* flip, const float* mean, const float* shift, float* out) {
  cut(*op, pictures, top, left, flip, mean, shift, out);
}

void cut_bfloat16(const Cut* op, const uint8_t* pictures, const int64_t* top, const int64_t* left,
                  const uint8_t* flip, const float* mean, const float* shift, bfloat16* out) {
  cut(*op, pictures, top, left, flip, mean, shift, out);
}

void update_float32(const Update* op, float* weights, float* velocities, const float* gradients,
                    bfloat16* copies) {
  update(*op, weights, velocities, gradients, copies);
}

void update_bfloat16(const Update* op, float* weights, float* velocities,
                     const bfloat16* gradients, bfloat16* copies) {
  update(*op, weights, velocities, gradients, copies);
}
}
