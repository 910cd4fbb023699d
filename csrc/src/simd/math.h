// Elementary functions for vectors. The polynomials are minimax fits made by csrc/fit.py.
//
// exp, expm1, tanh and erf are within 1.6 ulp over the whole range of float32, denormals included, and NaN gives NaN.
#pragma once
#include "simd/sin.h"
#include "simd/vec.h"

namespace ptm::PTM_ISA {

constexpr float log2_e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;

// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r = 1 + r slope; n is a whole number.
struct Reduced { F n, r, slope; };
INLINE Reduced reduce(F x) {
  const F n = (x * log2_e + round_magic) - round_magic;
  const F r = fma(n, splat(-ln2_low), fma(n, splat(-ln2_high), x));
  F p = splat(0x1.6db42ap-10f);
  p = fma(p, r, splat(0x1.123b56p-7f));
  p = fma(p, r, splat(0x1.55545ep-5f));
  p = fma(p, r, splat(0x1.55548ep-3f));
  p = fma(p, r, splat(0.5f));
  return {n, r, fma(p, r, splat(1.0f))};
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
  const auto [n, r, slope] = reduce(max(splat(-104.0f), min(splat(89.0f), x)));
  return scale_by_power(fma(r, slope, splat(1.0f)), n);
}

// e^x - 1, for x <= 80.
INLINE F expm1(F x) {
  const auto [n, r, slope] = reduce(max(splat(-80.0f), x));
  const F power = (F)((__builtin_convertvector(n, I) + 127) << 23);
  return fma(power, r * slope, power - 1.0f);
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

// Φ(-t) for t >= 0: 2^z times a polynomial in u = 1 / (1 + t / 4), with z = -t² / 2 · log2 e. Within 5e-9 / t of the true
// value and within 1e-4 of it in proportion: as exact as x Φ(x) in float32 can show, and in the tail as float16 can.
INLINE F below(F t) {
  const F square = t * t, whole = fma(square, splat(log2_e * -0.5f), splat(round_magic)) - round_magic;
  const F f = fma(square, splat(log2_e * -0.5f), -whole), u = 1.0f / fma(t, splat(0.25f), splat(1.0f));
  F power = splat(0.0013276472f), p = splat(-0.091848366f);
  power = fma(power, f, splat(0.009675541f));
  p = fma(p, u, splat(0.34294045f));
  power = fma(power, f, splat(0.05550713f));
  p = fma(p, u, splat(-0.2697538f));
  power = fma(power, f, splat(0.2402212f));
  p = fma(p, u, splat(0.28401262f));
  power = fma(power, f, splat(0.69314694f));
  p = fma(p, u, splat(0.023266194f));
  power = fma(power, f, splat(1.0f));
  p = fma(p, u, splat(0.11260527f));
  p = fma(p, u, splat(0.09877775f));
  return scale_by_power(power, whole) * (u * p);
}

// x Φ(x); -inf gives NaN as in MLX: -inf · 0. The tail ends before it is subnormal: on some processors a product with a
// subnormal number takes a hundred times as long as another.
INLINE F gelu(F x) {
  const F end = splat(12.9f), t = min(end, abs(x)), tail = select(t < end, below(t), splat(0.0f));
  return x * select(x > 0.0f, 1.0f - tail, tail);
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
