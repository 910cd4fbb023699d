#include "simd/snake.h"
#include "simd/sin.h"

namespace ptm::PTM_ISA {

INLINE F snake_one(F x, F alpha) {
  return x + sin_squared(alpha * x) / alpha;
}

void snake(const float* x, const float* alpha, float* y, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, x += channels, y += channels)
    each(
        channels, [&](int64_t i) { store(y + i, snake_one(load(x + i), load(alpha + i))); },
        [&](int64_t i, int64_t n) { store(y + i, snake_one(load(x + i, n), load(alpha + i, n)), n); });
}

} // namespace ptm::PTM_ISA
