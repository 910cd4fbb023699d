// sin for vectors: reduction by pi in three pieces (Cody & Waite 1980), then an odd minimax polynomial.
#pragma once
#include "simd/vec.h"

namespace ptm::PTM_ISA {

// |x| <= 1e4 or so; beyond, and for Inf and NaN, lane by lane through the C library.
INLINE F sin(F x) {
  const F magic = splat(round_magic);
  const F t = x * 0.318309886183790672f + magic;
  const I odd = (I)t << 31; // the sign of sin changes with every multiple of pi
  const F n = t - magic;
  F r = fma(n, splat(-3.140625f), x);
  r = fma(n, splat(-9.67502593994140625e-4f), r);
  r = fma(n, splat(-1.509957990978376432e-7f), r);
  const F s = r * r;
  F p = splat(2.6083159809786593e-06f);
  p = fma(p, s, splat(-1.981069071916863e-04f));
  p = fma(p, s, splat(8.33307858556509e-03f));
  p = fma(p, s, splat(-1.6666659712791443e-01f));
  F y = fma(r * s, p, r);
  y = (F)((I)y ^ odd);
  const I far = ~(abs(x) <= 8192.0f);
  if (__builtin_expect(any(far), 0))
    for (int i = 0; i < W; i++)
      if (far[i]) y[i] = sinf(x[i]);
  return y;
}

} // namespace ptm::PTM_ISA
