// exp, sigmoid and tanh for vectors: reduction by ln 2 in two pieces, then a minimax polynomial (Cephes, Moshier 1989).
#pragma once
#include "simd/vec.h"

namespace ptm::PTM_ISA {

// 1 ulp; 0 below the smallest denormal, Inf above the largest number, NaN for NaN.
INLINE F exp(F x) {
  x = select(x > 89.0f, splat(89.0f), x);
  x = select(x < -104.0f, splat(-104.0f), x);
  const F magic = splat(round_magic);
  const F t = fma(x, splat(1.44269504088896341f), magic);
  const F n = t - magic;
  F r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  F p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  const F y = fma(p, r * r, r) + 1.0f;
  // 2^n in two factors, because 2^128 and 2^-150 are no floats.
  const I exponent = (I)t - (I)magic, half = exponent >> 1;
  return y * (F)((half + 127) << 23) * (F)((exponent - half + 127) << 23);
}

INLINE F sigmoid(F x) { return 1.0f / (1.0f + exp(-x)); }

INLINE F tanh(F x) {
  const F a = abs(x), z = x * x;
  F p = splat(-5.70498872745e-3f);
  p = fma(p, z, splat(2.06390887954e-2f));
  p = fma(p, z, splat(-5.37397155531e-2f));
  p = fma(p, z, splat(1.33314422036e-1f));
  p = fma(p, z, splat(-3.33332819422e-1f));
  const F small = fma(p * z, x, x);
  const F large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return select(a < 0.625f, small, (F)((I)large | ((I)x & (int32_t)0x80000000)));
}

} // namespace ptm::PTM_ISA
