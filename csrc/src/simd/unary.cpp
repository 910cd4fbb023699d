#include "simd/unary.h"
#include "simd/math.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

template <class Function>
static void run(Dtype dtype, const void* x, void* y, int64_t n, const Function& f) {
  with_type(dtype, [&](auto* type) { map((decltype(type))x, (decltype(type))y, n, f); });
}

void unary(Unary function, float parameter, Dtype dtype, const void* x, void* y, int64_t n) {
  switch (function) {
    case Unary::exp: return run(dtype, x, y, n, [](F v) { return exp(v); });
    case Unary::sin: return run(dtype, x, y, n, [](F v) { return sin(v); });
    case Unary::cos: return run(dtype, x, y, n, [](F v) { return cos(v); });
    case Unary::tanh: return run(dtype, x, y, n, [](F v) { return tanh(v); });
    case Unary::sigmoid: return run(dtype, x, y, n, [](F v) { return sigmoid(v); });
    case Unary::erf: return run(dtype, x, y, n, [](F v) { return erf(v); });
    case Unary::gelu: return run(dtype, x, y, n, [](F v) { return gelu(v); });
    case Unary::gelu_tanh: return run(dtype, x, y, n, [](F v) { return gelu_tanh(v); });
    case Unary::silu: return run(dtype, x, y, n, [](F v) { return silu(v); });
    case Unary::mish: return run(dtype, x, y, n, [](F v) { return mish(v); });
    case Unary::elu: return run(dtype, x, y, n, [=](F v) { return elu(v, parameter); });
    case Unary::leaky_relu: return run(dtype, x, y, n, [=](F v) { return leaky_relu(v, parameter); });
    case Unary::relu: return run(dtype, x, y, n, [](F v) { return max(F{}, v); });
    case Unary::square: return run(dtype, x, y, n, [](F v) { return v * v; });
  }
}

void leaky_relu_above(float slope, float floor, float* y, int64_t n) {
  map(y, y, n, [=](F v) {
    const F leaky = leaky_relu(v, slope);
    return leaky < floor ? splat(floor) : leaky;
  });
}

template <int N>
static void add_some(const float* const* x, float scale, float* y, int64_t n) {
  auto one = [&](int64_t i, int64_t count) {
    F sum = load_some(x[0] + i, count) + load_some(x[1] + i, count);
    if constexpr (N > 2) sum += load_some(x[2] + i, count);
    store_some(y + i, scale * sum, count);
  };
  each(n, [&](int64_t i) { one(i, W); }, one);
}

void add_up(const float* const* x, int64_t count, float scale, float* y, int64_t n) {
  count == 2 ? add_some<2>(x, scale, y, n) : add_some<3>(x, scale, y, n);
}

} // namespace ptm::PTM_ISA
