#include "simd/rows.h"
#include "simd/math.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

// The sum of term(i, count) over [0, n) in steps of W: four running sums, for speed and for accuracy.
template <class Term>
INLINE float total(int64_t n, const Term& term) {
  F sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W)
    for (int k = 0; k < 4; k++) sums[k] += term(i + k * W, (int64_t)W);
  for (; i < n; i += W) sums[0] += term(i, n - i < W ? n - i : W);
  return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// x with zeros in the lanes from `count` on.
INLINE F first(F x, int64_t count) { return select(inside(count), x, F{}); }

// The same for long sums: eight terms are added in float32, and these sums in float64.
template <class Term>
INLINE double exact_total(int64_t n, const Term& term) {
  D low{}, high{};
  auto join = [&](F sum) {
    low += low_wide(sum);
    high += high_wide(sum);
  };
  int64_t i = 0;
  for (; i + 32 * W <= n; i += 32 * W) {
    F sums[4] = {};
#pragma GCC unroll 8
    for (int step = 0; step < 8; step++)
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) sums[k] += term(i + (4 * step + k) * W, (int64_t)W);
    join((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
  for (; i + 4 * W <= n; i += 4 * W) {
    F sum{};
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) sum += term(i + k * W, (int64_t)W);
    join(sum);
  }
  for (; i < n; i += W) join(term(i, n - i < W ? n - i : W));
  return total(low + high);
}

template <class T>
INLINE void norm_row(const T* x, const float* weight, const float* bias, T* y, int64_t size, float eps, bool center) {
  // Mean and factor as two floats each: an error in them would shift or scale the whole row.
  float high = 0, low = 0;
  if (center) {
    const double mean = exact_total(size, [&](int64_t i, int64_t n) { return load_some(x + i, n); }) / size;
    high = (float)mean;
    low = (float)(mean - high);
  }
  const double square = exact_total(size, [&](int64_t i, int64_t n) {
    const F away = load_some(x + i, n) - high, kept = n == W ? away : first(away, n);
    return kept * kept;
  });
  const double factor = 1.0 / __builtin_sqrt(square / size - (double)low * low + eps);
  const float most = (float)factor, rest = (float)(factor - most), shift = (float)(-low * factor);
  auto one = [&](int64_t i, int64_t n) {
    const F away = load_some(x + i, n) - high;
    F v = fma(away, splat(most), fma(away, splat(rest), splat(shift)));
    if (weight) v *= load_some(weight + i, n);
    if (bias) v += load_some(bias + i, n);
    store_some(y + i, v, n);
  };
  each(size, [&](int64_t i) { one(i, W); }, one);
}

void norm_rows(Dtype dtype, const void* x, const float* weight, const float* bias, void* y, int64_t rows, int64_t size,
               float eps, bool center) {
  with_type(dtype, [&](auto* type) {
    auto* in = (decltype(type))x;
    auto* out = (decltype(type))y;
    for (int64_t row = 0; row < rows; row++) norm_row(in + row * size, weight, bias, out + row * size, size, eps, center);
  });
}

template <class T>
INLINE void softmax_row(const T* x, float scale, const float* mask, T* y, int64_t size) {
  constexpr bool keeps = sizeof(T) == sizeof(float); // y holds the exponentials until their sum is known
  auto score = [&](int64_t i, int64_t n) {
    const F v = load_some(x + i, n) * scale;
    return mask ? v + load_some(mask + i, n) : v;
  };
  F tops[2] = {splat(-INFINITY), splat(-INFINITY)};
  each(
      size, [&](int64_t i) { tops[i / W & 1] = max(score(i, W), tops[i / W & 1]); },
      [&](int64_t i, int64_t n) {
        tops[0] = max(select(inside(n), score(i, n), splat(-INFINITY)), tops[0]);
      });
  const float top = greatest(max(tops[0], tops[1]));
  auto power = [&](int64_t i, int64_t n) { return exp(score(i, n) - top); };
  const float factor = 1.0f / total(size, [&](int64_t i, int64_t n) {
    const F e = power(i, n);
    if constexpr (keeps) store_some(y + i, e, n);
    return n == W ? e : first(e, n);
  });
  auto one = [&](int64_t i, int64_t n) { store_some(y + i, (keeps ? load_some(y + i, n) : power(i, n)) * factor, n); };
  each(size, [&](int64_t i) { one(i, W); }, one);
}

void softmax_rows(Dtype dtype, const void* x, float scale, const float* mask, void* y, int64_t rows, int64_t size) {
  with_type(dtype, [&](auto* type) {
    auto* in = (decltype(type))x;
    auto* out = (decltype(type))y;
    for (int64_t row = 0; row < rows; row++) softmax_row(in + row * size, scale, mask, out + row * size, size);
  });
}

void power_rows(const float* x, float* y, int64_t rows, int64_t size) {
  for (int64_t row = 0; row < rows; row++, x += 2 * size, y += size) {
    auto one = [&](int64_t i, int64_t n) {
      const F a = load_some(x + i, n), b = load_some(x + size + i, n);
      store_some(y + i, a * a + b * b, n);
    };
    each(size, [&](int64_t i) { one(i, W); }, one);
  }
}

void exact_products(const float* a, const float* b, float* c, int64_t ldc, int64_t rows, int64_t cols, int64_t depth) {
  for (int64_t j = 0; j < cols; j++, b += depth)
    for (int64_t i = 0; i < rows; i++)
      c[i * ldc + j] += (float)exact_total(depth, [&](int64_t k, int64_t n) {
        return load_some(a + i * depth + k, n) * load_some(b + k, n);
      });
}

} // namespace ptm::PTM_ISA
