#include "simd/channels.h"
#include "simd/math.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

// Channels [c, c + N vectors of `count` numbers): distances from the mean of the first eight rows are summed, and their
// squares. That mean is near enough: the squares are at most rows / 8 + 2 times as large as those about the true mean.
// Eight rows are summed, and sixteen such sums, before they join the rest: that keeps rounding errors small.
template <int N, class T>
INLINE void moments(const T* x, int64_t rows, int64_t size, int64_t c, int64_t count, float* shift, float* mean, float* square) {
  auto at = [&](int64_t row, int k) { return load_some(x + row * size + c + k * W, count); };
  F start[N] = {}, sums[N] = {}, squares[N] = {};
  const int64_t few = rows < 8 ? rows : 8;
  for (int64_t row = 0; row < few; row++)
    for (int k = 0; k < N; k++) start[k] += at(row, k);
  for (int k = 0; k < N; k++) start[k] *= 1.0f / few;
  for (int64_t row = 0; row < rows;) {
    F more[N] = {}, more_squares[N] = {};
    for (const int64_t end = row + 128 < rows ? row + 128 : rows; row < end;) {
      F some[N] = {}, some_squares[N] = {};
      for (const int64_t stop = row + 8 < end ? row + 8 : end; row < stop; row++)
#pragma GCC unroll 4
        for (int k = 0; k < N; k++) {
          const F away = at(row, k) - start[k];
          some[k] += away;
          some_squares[k] += away * away;
        }
      for (int k = 0; k < N; k++) more[k] += some[k], more_squares[k] += some_squares[k];
    }
    for (int k = 0; k < N; k++) sums[k] += more[k], squares[k] += more_squares[k];
  }
  for (int k = 0; k < N; k++) {
    const F middle = sums[k] * (1.0f / rows);
    store_some(shift + c + k * W, start[k], count);
    store_some(mean + c + k * W, middle, count);
    store_some(square + c + k * W, squares[k] - sums[k] * middle, count);
  }
}

void channel_moments(Dtype dtype, const void* x, int64_t rows, int64_t size, float* shift, float* mean, float* square) {
  with_type(dtype, [&](auto* type) {
    auto* in = (decltype(type))x;
    int64_t c = 0;
    for (; c + 4 * W <= size; c += 4 * W) moments<4>(in, rows, size, c, W, shift, mean, square);
    for (; c + W <= size; c += W) moments<1>(in, rows, size, c, W, shift, mean, square);
    if (c < size) moments<1>(in, rows, size, c, size - c, shift, mean, square);
  });
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
