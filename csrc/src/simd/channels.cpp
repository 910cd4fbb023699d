#include "simd/channels.h"
#include "simd/math.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

// Sums term(row, channel) over the rows for `count` channels from `first`, N vectors at a time. Eight rows are summed
// before they join the rest, which keeps rounding errors small.
template <int N, class Term, class Done>
INLINE void down(int64_t first, int64_t count, int64_t rows, const Term& term, const Done& done) {
  F sums[N] = {};
  for (int64_t row = 0; row < rows;) {
    F some[N] = {};
    for (const int64_t stop = row + 8 < rows ? row + 8 : rows; row < stop; row++)
      for (int k = 0; k < N; k++) some[k] += term(row, first + k * W, count);
    for (int k = 0; k < N; k++) sums[k] += some[k];
  }
  for (int k = 0; k < N; k++) done(first + k * W, sums[k], count);
}
template <class Term, class Done>
INLINE void over_channels(int64_t size, int64_t rows, const Term& term, const Done& done) {
  int64_t channel = 0;
  for (; channel + 8 * W <= size; channel += 8 * W) down<8>(channel, W, rows, term, done);
  for (; channel + W <= size; channel += W) down<1>(channel, W, rows, term, done);
  if (channel < size) down<1>(channel, size - channel, rows, term, done);
}

void channel_moments(Dtype dtype, const void* x, int64_t rows, int64_t size, float* first, float* mean, float* square) {
  with_type(dtype, [&](auto* type) {
    auto* in = (decltype(type))x;
    auto away = [&](int64_t row, int64_t c, int64_t n) { return load_some(in + row * size + c, n) - load_some(in + c, n); };
    const float share = 1.0f / rows;
    over_channels(size, rows, away, [&](int64_t c, F sum, int64_t n) {
      store_some(first + c, load_some(in + c, n), n);
      store_some(mean + c, sum * share, n);
    });
    over_channels(
        size, rows,
        [&](int64_t row, int64_t c, int64_t n) {
          const F d = away(row, c, n) - load_some(mean + c, n);
          return d * d;
        },
        [&](int64_t c, F sum, int64_t n) { store_some(square + c, sum, n); });
  });
}

template <class T, class Function>
INLINE void apply(const T* x, const float* mean, const float* factor, const float* shift, T* y, int64_t rows, int64_t size,
                  const Function& then) {
  for (int64_t row = 0; row < rows; row++, x += size, y += size) {
    auto one = [&](int64_t i, int64_t n) {
      const F v = fma(load_some(x + i, n) - load_some(mean + i, n), load_some(factor + i, n), load_some(shift + i, n));
      store_some(y + i, then(v, i, n), n);
    };
    each(size, [&](int64_t i) { one(i, W); }, one);
  }
}

void channel_apply(Dtype dtype, const void* x, const float* mean, const float* factor, const float* shift, Then then,
                   float slope, const float* alpha, void* y, int64_t rows, int64_t size) {
  with_type(dtype, [&](auto* type) {
    auto* in = (decltype(type))x;
    auto* out = (decltype(type))y;
    auto run = [&](const auto& function) { apply(in, mean, factor, shift, out, rows, size, function); };
    if (then == Then::leaky_relu) return run([&](F v, int64_t, int64_t) { return leaky_relu(v, slope); });
    if (then == Then::snake)
      return run([&](F v, int64_t i, int64_t n) {
        const F a = load_some(alpha + i, n);
        return v + sin_squared(a * v) / a;
      });
    run([&](F v, int64_t, int64_t) { return v; });
  });
}

} // namespace ptm::PTM_ISA
