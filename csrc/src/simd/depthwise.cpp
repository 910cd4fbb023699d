#include "simd/depthwise.h"

#include "simd/vec.h"

namespace ptm::PTM_ISA {

// R rows of W channels: each weight is loaded once for all R rows.
template <int R, class Load>
INLINE void rows_of(const float* x, int64_t x_step, const int64_t* offsets, const float* w, int64_t channels, int64_t taps,
                    F bias, F (&sum)[R], const Load& get) {
#pragma GCC unroll 8
  for (int i = 0; i < R; i++) sum[i] = bias;
  for (int64_t k = 0; k < taps; k++) {
    const F weight = get(w + k * channels);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) sum[i] += get(x + offsets[k] + i * x_step) * weight;
  }
}

template <int R>
static void block(const float* x, int64_t x_step, const int64_t* offsets, const float* w, const float* bias, float* y,
                  int64_t y_step, int64_t channels, int64_t taps) {
  F sum[R];
  each(
      channels,
      [&](int64_t c) {
        rows_of<R>(x + c, x_step, offsets, w + c, channels, taps, bias ? load(bias + c) : F{}, sum,
                   [](const float* p) { return load(p); });
        for (int i = 0; i < R; i++) store(y + c + i * y_step, sum[i]);
      },
      [&](int64_t c, int64_t n) {
        rows_of<R>(x + c, x_step, offsets, w + c, channels, taps, bias ? load(bias + c, n) : F{}, sum,
                   [n](const float* p) { return load(p, n); });
        for (int i = 0; i < R; i++) store(y + c + i * y_step, sum[i], n);
      });
}

void depthwise(const float* x, int64_t x_step, const int64_t* offsets, const float* w, const float* bias, float* y,
               int64_t y_step, int64_t rows, int64_t channels, int64_t taps) {
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8)
    block<8>(x + i * x_step, x_step, offsets, w, bias, y + i * y_step, y_step, channels, taps);
  for (; i < rows; i++)
    block<1>(x + i * x_step, x_step, offsets, w, bias, y + i * y_step, y_step, channels, taps);
}

} // namespace ptm::PTM_ISA
