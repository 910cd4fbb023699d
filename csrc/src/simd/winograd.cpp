#include "simd/winograd.h"

#include "simd/storage.h"

namespace ptm::PTM_ISA {

void winograd_inputs(const float* x, int64_t rows, int64_t channels, int64_t ld, float* far, float* sum, float* step) {
  for (int64_t row = 0; row + 1 < rows; row++, x += ld, far += ld, sum += ld, step += ld) {
    const bool last = row + 2 == rows;
    auto one = [&](int64_t i, int64_t n) {
      const F a = load_some(x + i, n), b = load_some(x + ld + i, n);
      if (!last) store_some(far + i, a - load_some(x + 2 * ld + i, n), n);
      store_some(sum + i, a + b, n);
      store_some(step + i, b - a, n);
    };
    each(channels, [&](int64_t i) { one(i, W); }, one);
  }
}

bool winograd_join(const float* m, int64_t block, int64_t m_ld, const float* bias, const float* add, float* y, int64_t y_ld,
                   int64_t rows, int64_t cols) {
  F check{}; // NaN once a number is not finite
  for (int64_t row = 0; row < rows; row += 2, m += m_ld, y += 2 * y_ld, add += add ? 2 * y_ld : 0) {
    const bool both = row + 1 < rows;
    auto one = [&](int64_t j, int64_t n) {
      const F shared = load_some(m + block + j, n), turned = load_some(m + 2 * block + j, n);
      const F start = bias ? load_some(bias + j, n) : F{};
      F even = (shared + turned) + load_some(m + j, n) + start, odd = (shared - turned) + load_some(m + 3 * block + j, n) + start;
      if (add) even += load_some(add + j, n);
      check += even * 0.0f;
      store_some(y + j, even, n);
      if (!both) return;
      if (add) odd += load_some(add + y_ld + j, n);
      check += odd * 0.0f;
      store_some(y + y_ld + j, odd, n);
    };
    each(cols, [&](int64_t j) { one(j, W); }, one);
  }
  return !any(check != check);
}

} // namespace ptm::PTM_ISA
