// Elementary functions for vectors. The polynomials are minimax fits made by csrc/fit.py.
//
// exp, expm1, tanh and erf are within 1.6 ulp over the whole range of float32, denormals included, and NaN gives NaN.
#pragma once
#include "simd/sin.h"
#include "simd/vec.h"

namespace ptm::PTM_ISA {

constexpr float log2_e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;

// x = n ln 2 + r with |r| <= ln 2 / 2. e^r = 1 + rest, and n is a whole number.
struct Reduced { F n, rest; };
INLINE Reduced reduce(F x) {
  const F n = (x * log2_e + round_magic) - round_magic;
  const F r = fma(n, splat(-ln2_low), fma(n, splat(-ln2_high), x));
  F p = splat(0x1.6db42ap-10f);
  p = fma(p, r, splat(0x1.123b56p-7f));
  p = fma(p, r, splat(0x1.55545ep-5f));
  p = fma(p, r, splat(0x1.55548ep-3f));
  p = fma(p, r, splat(0.5f));
  return {n, fma(r * r, p, r)};
}

// x · 2^n for whole n of at most 254 in size, with one rounding.
INLINE F scale_by_power(F x, F n) {
#if defined(__AVX512F__)
  return (F)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)x, (__m512)n); // g++ 12 warns of the unmasked one
#else
  const I whole = __builtin_convertvector(n, I), half = whole >> 1;
  return x * (F)((half + 127) << 23) * (F)((whole - half + 127) << 23);
#endif
}

INLINE F exp(F x) {
  const auto [n, rest] = reduce(max(splat(-104.0f), min(splat(89.0f), x)));
  return scale_by_power(1.0f + rest, n);
}

// e^x - 1, for x <= 80.
INLINE F expm1(F x) {
  const auto [n, rest] = reduce(max(splat(-80.0f), x));
  const F power = (F)((__builtin_convertvector(n, I) + 127) << 23);
  return fma(power, rest, power - 1.0f);
}

INLINE F with_sign_of(F x, F sign) { return (F)((I)x | ((I)sign & (int32_t)0x80000000)); } // x >= 0

INLINE F tanh(F x) {
  const F t = abs(x), s = x * x;
  F p = splat(-0.0003625258f);
  p = fma(p, s, splat(0.002315476f));
  p = fma(p, s, splat(-0.007965228f));
  p = fma(p, s, splat(0.021499412f));
  p = fma(p, s, splat(-0.053884108f));
  p = fma(p, s, splat(0.13332412f));
  p = fma(p, s, splat(-0.333333f));
  return with_sign_of(select(t < 1.0f, fma(p * s, t, t), 1.0f - 2.0f / (1.0f + exp(t + t))), x);
}

INLINE F sigmoid(F x) { return 1.0f / (1.0f + exp(-x)); }

// 1 / x within 1 ulp, for x not near 0 or Inf.
INLINE F reciprocal(F x) {
#if defined(__AVX512F__)
  const F r = (F)_mm512_maskz_rcp14_ps((__mmask16)-1, (__m512)x);
  return fma(r, fma(-x, r, splat(1.0f)), r); // one step of Newton's
#else
  return 1.0f / x;
#endif
}

// exp(t²) erfc(t) for t >= 0, as a polynomial in u = 1 / (1 + 0.3 t).
INLINE F erfcx(F t) {
  const F u = reciprocal(fma(t, splat(0.3f), splat(1.0f)));
  F p = splat(-0.12955405681710513f);
  p = fma(p, u, splat(0.485726813310012f));
  p = fma(p, u, splat(-0.5126464213991615f));
  p = fma(p, u, splat(0.5481836523530121f));
  p = fma(p, u, splat(-0.09500701890944994f));
  p = fma(p, u, splat(0.21509697062684832f));
  p = fma(p, u, splat(0.1482892731708116f));
  p = fma(p, u, splat(0.1707233204975191f));
  p = fma(p, u, splat(0.16918744753378093f));
  return p * u;
}

INLINE F erf(F x) {
  const F t = abs(x), s = x * x, end = min(splat(4.0f), t); // 1 beyond
  F p = splat(7.8538615e-05f), q = splat(-0.00018557401f);
  p = fma(p, s, splat(-0.00080101937f));
  q = fma(q, end, splat(0.0029396072f));
  p = fma(p, s, splat(0.0051883277f));
  q = fma(q, end, splat(-0.021805318f));
  p = fma(p, s, splat(-0.026853813f));
  q = fma(q, end, splat(0.10303737f));
  p = fma(p, s, splat(0.112835854f));
  q = fma(q, end, splat(0.6382257f));
  p = fma(p, s, splat(-0.37612626f));
  q = fma(q, end, splat(1.12704f));
  p = fma(p, s, splat(0.12837917f));
  q = fma(q, end, splat(0.0003537195f));
  return select(t < 1.0f, fma(x, p, x), with_sign_of(1.0f - exp(-q), x));
}

INLINE F relu(F x) { return max(splat(0.0f), x); }

// x Φ(x) = max(x, 0) - |x| Φ(-|x|), which loses nothing where Φ is small. -inf gives NaN as in MLX: -inf · 0.
INLINE F gelu(F x) {
  const F t = max(min(splat(40.0f), x), -x);
  const F tail = exp(t * t * -0.5f) * erfcx(t * 0.70710678118654752f) * 0.5f;
  return relu(x) - t * tail;
}

// 0.5 x (1 + tanh z) = x / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x³).
INLINE F gelu_tanh(F x) {
  const F z = x * fma(x * x, splat(0.044715f * 0.797884560802865f), splat(0.797884560802865f));
  return x / (1.0f + exp(z * -2.0f));
}

INLINE F silu(F x) { return x / (1.0f + exp(-x)); }

// x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2).
INLINE F mish(F x) {
  const F e = exp(min(splat(40.0f), x)), n = e * (e + 2.0f);
  return x * (n / (n + 2.0f));
}

INLINE F elu(F x, float alpha) { return x > 0.0f ? x : expm1(min(splat(0.0f), x)) * alpha; }
INLINE F leaky_relu(F x, float slope) { return x > 0.0f ? x : x * slope; }

} // namespace ptm::PTM_ISA
