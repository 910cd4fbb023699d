// sin and cos for vectors: reduction by pi / 2 in parts (Cody & Waite 1980), then minimax polynomials (csrc/fit.py).
#pragma once
#include "simd/vec.h"

namespace ptm::PTM_ISA {

#if defined(__FMA__) || defined(__aarch64__)
constexpr float sin_far = 1e6f; // larger arguments, Inf and NaN go lane by lane through the C library
#else
constexpr float sin_far = 8192.0f;
#endif

// x - n pi / 2 = r + low, for |x| <= sin_far.
struct Angle { F r, low; };
INLINE Angle minus_half_pi(F x, F n) {
#if defined(__FMA__) || defined(__aarch64__)
  x = fma(n, splat(-1.570796251296997f), x); // exact, because n pi / 2 is near x
  const F middle = splat(-7.549789415861596e-08f), last = splat(-5.390302529957765e-15f);
#else
  x = fma(n, splat(-1.5703125f), x); // parts of 11 bits, so that the products are exact
  x = fma(n, splat(-4.837512969970703e-4f), x);
  const F middle = splat(-7.549533620476723e-8f), last = splat(-2.5633440682570896e-12f);
#endif
  const F r = fma(n, middle, x);
  const F moved = x - r; // exact unless it is large compared with r
  const F low = fma(n, last, fma(n, middle, moved));
  return {r, select(abs(moved) * 2.0f < abs(r), low, fma(n, last, splat(0.0f)))};
}

// sin(angle + n pi / 2) for |angle| <= pi / 4. odd: sin r = r + r s p(s), even: cos r = 1 - s / 2 + s² p(s), with s = r²,
// both of degree 2 on 0 < s < (pi / 4)².
INLINE F sin_of(Angle angle, I n) {
  const F r = angle.r, s = r * r;
  F odd = splat(-0.00019516656f), even = splat(2.443773e-05f);
  odd = fma(odd, s, splat(0.008332173f));
  even = fma(even, s, splat(-0.0013887362f));
  odd = fma(odd, s, splat(-0.16666655f));
  even = fma(even, s, splat(0.041666646f));
  odd = fma(odd * s, r, angle.low) + r;
  const F half = s * 0.5f, most = 1.0f - half; // 1 - s / 2 and its rounding error
  even = most + fma(even * s, s, fma(-r, angle.low, (1.0f - most) - half));
  const F y = select((n & 1) != 0, even, odd);
  return (F)((I)y ^ ((n & 2) << 30));
}

// Replaces y by the C library's result in the lanes where |x| > sin_far.
INLINE F where_far(F x, F y, float (*exact)(float)) {
  const I far = ~(abs(x) <= sin_far);
  if (__builtin_expect(any(far), 0))
    for (int i = 0; i < W; i++)
      if (far[i]) y[i] = exact(x[i]);
  return y;
}

INLINE F sin(F x) {
  const F t = x * 0.636619772367581343f + round_magic;
  return where_far(x, sin_of(minus_half_pi(x, t - round_magic), (I)t), sinf);
}

INLINE F cos(F x) {
  const F t = x * 0.636619772367581343f + round_magic;
  return where_far(x, sin_of(minus_half_pi(x, t - round_magic), (I)t + 1), cosf);
}

// sin² x, whose sign is known: reduction by pi, then sin r = r + r s p(s), degree 3 on |r| <= pi / 2; the coefficients are
// SLEEF's (sleefsp.c, xsinf). The error is below 3e-7.
INLINE F sin_squared(F x) {
  const F n = (x * 0.318309886183790672f + round_magic) - round_magic;
  const F r = minus_half_pi(x, n + n).r, s = r * r;
  F p = splat(2.6083159809786593e-06f);
  p = fma(p, s, splat(-1.981069071916863e-04f));
  p = fma(p, s, splat(8.33307858556509e-03f));
  p = fma(p, s, splat(-1.6666659712791443e-01f));
  const F y = where_far(x, fma(r * s, p, r), sinf);
  return y * y;
}

} // namespace ptm::PTM_ISA
