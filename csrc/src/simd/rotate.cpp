#include "simd/rotate.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

void rotate(Dtype dtype, const void* x, const float* cos, const float* sin, void* y, int64_t first, int64_t end,
            int64_t length, int64_t half, int64_t width) {
  with_type(dtype, [&](auto* type) {
    for (int64_t row = first; row < end; row++) {
      auto* from = (decltype(type))x + row * width;
      auto* to = (decltype(type))y + row * width;
      const float *c = cos + row % length * half, *s = sin + row % length * half;
      auto turn = [&](int64_t i, int64_t n) {
        const F a = load_some(from + i, n), b = load_some(from + half + i, n), cosine = load_some(c + i, n), sine = load_some(s + i, n);
        store_some(to + i, fma(a, cosine, -(b * sine)), n);
        store_some(to + half + i, fma(a, sine, b * cosine), n);
      };
      each(half, [&](int64_t i) { turn(i, W); }, turn);
      auto keep = [&](int64_t i, int64_t n) { store_some(to + 2 * half + i, load_some(from + 2 * half + i, n), n); };
      each(width - 2 * half, [&](int64_t i) { keep(i, W); }, keep);
    }
  });
}

} // namespace ptm::PTM_ISA
