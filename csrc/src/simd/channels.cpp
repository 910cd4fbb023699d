#include "simd/channels.h"
#include "simd/math.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

// Sums the distances from the mean of the first eight rows, and their squares. That mean is close enough: the squares are at
// most rows / 8 + 2 times as large as those about the true mean. Eight rows are summed before they are added to the rest,
// which keeps rounding errors small.
template <class T>
INLINE void moments(const T* x, int64_t rows, int64_t size, float* shift, float* mean, float* square) {
  const int64_t few = rows < 8 ? rows : 8;
  auto start = [&](int64_t c, int64_t n) {
    F sum{};
    for (int64_t row = 0; row < few; row++) sum += load_some(x + row * size + c, n);
    store_some(shift + c, sum * (1.0f / few), n);
    store_some(mean + c, F{}, n);
    store_some(square + c, F{}, n);
  };
  each(size, [&](int64_t c) { start(c, W); }, start);
  for (int64_t row = 0; row < rows; row += 8) {
    const T* here = x + row * size;
    auto join = [&](int64_t c, int64_t n, int64_t count) {
      const F from = load_some(shift + c, n);
      F sum{}, squares{};
#pragma GCC unroll 8
      for (int64_t i = 0; i < count; i++) {
        const F away = load_some(here + i * size + c, n) - from;
        sum += away;
        squares += away * away;
      }
      store_some(mean + c, load_some(mean + c, n) + sum, n);
      store_some(square + c, load_some(square + c, n) + squares, n);
    };
    if (rows - row >= 8)
      each(size, [&](int64_t c) { join(c, W, 8); }, [&](int64_t c, int64_t n) { join(c, n, 8); });
    else
      each(size, [&](int64_t c) { join(c, W, rows - row); }, [&](int64_t c, int64_t n) { join(c, n, rows - row); });
  }
  auto end = [&](int64_t c, int64_t n) {
    const F sum = load_some(mean + c, n), middle = sum * (1.0f / rows);
    store_some(mean + c, middle, n);
    store_some(square + c, load_some(square + c, n) - sum * middle, n);
  };
  each(size, [&](int64_t c) { end(c, W); }, end);
}

void channel_moments(Dtype dtype, const void* x, int64_t rows, int64_t size, float* shift, float* mean, float* square) {
  with_type(dtype, [&](auto* type) { moments((decltype(type))x, rows, size, shift, mean, square); });
}

void channel_join(const float* moments, int64_t chunks, int64_t rows, int64_t chunk_rows, int64_t size, int64_t begin,
                  int64_t end, double* mean, double* square) {
  for (int64_t d = begin; d < end; d++) mean[d] = square[d] = 0;
  for (int64_t i = 0; i < chunks; i++) {
    const double count = i + 1 < chunks ? chunk_rows : rows - i * chunk_rows;
    const float *shift = moments + 3 * i * size, *middle = shift + size, *squares = middle + size;
    for (int64_t d = begin; d < end; d++) { // about the mean of the first piece
      const double away = ((double)shift[d] - moments[d]) + ((double)middle[d] - moments[size + d]);
      mean[d] += count * away;
      square[d] += squares[d] + count * away * away;
    }
  }
  for (int64_t d = begin; d < end; d++) {
    const double away = mean[d] / rows;
    square[d] -= rows * away * away;
    mean[d] = away + moments[d] + moments[size + d];
  }
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
