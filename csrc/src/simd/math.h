// Elementary functions for vectors. The polynomials are minimax fits made by csrc/fit.py, evaluated by Horner's rule; each
// function says its polynomials' degrees and the ranges that they are fitted to.
//
// exp, expm1, tanh and erf are within 1.6 ulp over the whole range of float32, denormals included, and NaN gives NaN.
#pragma once
#include "simd/sin.h"
#include "simd/vec.h"

namespace ptm::PTM_ISA {

constexpr float log2_e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;

// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r = 1 + r slope; n is a whole number. slope = 1 + r p(r), degree 4 on |r| <=
// ln 2 / 2. ln 2 is subtracted in two parts, of which n times the first is exact (Cody & Waite 1980).
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

// x · 2^n for whole n with |n| <= 254, rounded once.
INLINE F scale_by_power(F x, F n) {
#if defined(__AVX512F__)
  return (F)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)x, (__m512)n); // g++ 12 warns of the unmasked one
#else
  const I whole = __builtin_convertvector(n, I), half = whole >> 1;
  return x * (F)((half + 127) << 23) * (F)((whole - half + 127) << 23);
#endif
}

// e^x = 2^n e^r. The limits are where e^x is 0 and Inf in float32.
INLINE F exp(F x) {
  const auto [n, r, slope] = reduce(max(splat(-104.0f), min(splat(89.0f), x)));
  return scale_by_power(fma(r, slope, splat(1.0f)), n);
}

// e^x - 1 = 2^n r slope + (2^n - 1), for x <= 80.
INLINE F expm1(F x) {
  const auto [n, r, slope] = reduce(max(splat(-80.0f), x));
  const F power = (F)((__builtin_convertvector(n, I) + 127) << 23);
  return fma(power, r * slope, power - 1.0f);
}

INLINE F with_sign_of(F x, F sign) { return (F)((I)x | ((I)sign & (int32_t)0x80000000)); } // x >= 0

// |x| < 1: x + x s p(s) with s = x², degree 6 on 0 < s < 1. Beyond: 1 - 2 / (1 + e^2|x|).
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

// |x| < 1: x + x p(x²), degree 6 on 0 < x² < 1. 1 <= |x| <= 4: 1 - exp(-q(|x|)), degree 6. Beyond 4, erf is 1 in float32.
INLINE F erf(F x) {
  const F t = abs(x), s = x * x, end = min(splat(4.0f), t);
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

// Φ(-t), the tail of the normal distribution, for 0 <= t < 14.5: exp(-t² / 2) u p(u) with u = 1 / (1 + t / 4), degree 6 on
// 1 / 4.625 < u <= 1. The exponential is 2^n 2^f, 2^f of degree 5 on |f| <= 1/2. The absolute error is below 5e-9 / t, which
// is what x Φ(x) shows in float32, and the relative error below 1e-4, which is what float16 shows in the tail.
INLINE F gaussian_tail(F t) {
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

// x Φ(x); -Inf gives NaN as in MLX, which computes -Inf · 0. The tail is cut off before it becomes subnormal: on some
// processors, multiplying by a subnormal number is a hundred times slower.
INLINE F gelu(F x) {
  const F end = splat(12.9f), t = min(end, abs(x)), tail = select(t < end, gaussian_tail(t), splat(0.0f));
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
