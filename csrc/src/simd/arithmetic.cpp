#include "simd/arithmetic.h"

#include "simd/storage.h"

namespace ptm::PTM_ISA {

template <int step>
INLINE F get(const float* p, int64_t i, int64_t n) {
  if constexpr (step == 0) return splat(*p);
  return load_some(p + i, n);
}

template <int a_step, int b_step, class Function>
static void run(Operand a, Operand b, float* y, int64_t rows, int64_t n, const Function& f) {
  for (int64_t row = 0; row < rows; row++, a.data += a.row, b.data += b.row, y += n) {
    auto one = [&](int64_t i, int64_t count) {
      store_some(y + i, f(get<a_step>(a.data, i, count), get<b_step>(b.data, i, count)), count);
    };
    each(n, [&](int64_t i) { one(i, W); }, one);
  }
}

template <class Function>
static void dispatch(Operand a, Operand b, float* y, int64_t rows, int64_t n, const Function& f) {
  if (a.step == 1 && b.step == 1) return run<1, 1>(a, b, y, rows, n, f);
  if (a.step == 1 && b.step == 0) return run<1, 0>(a, b, y, rows, n, f);
  if (a.step == 0 && b.step == 1) return run<0, 1>(a, b, y, rows, n, f);
  for (int64_t row = 0; row < rows; row++, a.data += a.row, b.data += b.row, y += n)
    for (int64_t i = 0; i < n; i++) y[i] = f(a.data[i * a.step], b.data[i * b.step]);
}

void arithmetic(Arithmetic op, Operand a, Operand b, float* y, int64_t rows, int64_t n) {
  switch (op) {
    case Arithmetic::add: return dispatch(a, b, y, rows, n, [](auto u, auto v) { return u + v; });
    case Arithmetic::subtract: return dispatch(a, b, y, rows, n, [](auto u, auto v) { return u - v; });
    case Arithmetic::multiply: return dispatch(a, b, y, rows, n, [](auto u, auto v) { return u * v; });
    case Arithmetic::divide: return dispatch(a, b, y, rows, n, [](auto u, auto v) { return u / v; });
  }
}

} // namespace ptm::PTM_ISA
