// Vectors as wide as PTM_ISA's registers, on the vector extensions that GCC and Clang share, and operations on them.
//
// Accuracy: every function here is within 2 ulp of the true value (tests/backend compare with float64).
#pragma once
#include <math.h>
#include <stdint.h>

#if defined(__AVX512F__) || defined(__AVX__) || defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

namespace ptm::PTM_ISA {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float F __attribute__((vector_size(4 * W)));
typedef int32_t I __attribute__((vector_size(4 * W)));
typedef double D __attribute__((vector_size(4 * W))); // W / 2 lanes
typedef float Floats __attribute__((vector_size(4 * W), aligned(4), may_alias)); // F at any address

INLINE F load(const float* p) { return *(const Floats*)p; }
INLINE void store(float* p, F x) { *(Floats*)p = x; }
INLINE F splat(float x) { return x - F{}; } // x in every lane: x - 0 is x for every x, NaN and -0 included
INLINE I splat(int32_t x) { return x - I{}; }

// The first n of W floats; the other lanes are zero.
INLINE F load(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (F)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  F x{};
  for (int i = 0; i < n; i++) x[i] = p[i];
  return x;
#endif
}
INLINE void store(float* p, F x, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#else
  for (int i = 0; i < n; i++) p[i] = x[i];
#endif
}

INLINE F select(I mask, F yes, F no) { return mask ? yes : no; }
INLINE F abs(F x) { return (F)((I)x & 0x7fffffff); }
// The smaller and the larger; b where either is NaN. Compilers would make two instructions of a comparison and a choice.
#if defined(__AVX512F__)
INLINE F min(F a, F b) { return (F)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b); }
INLINE F max(F a, F b) { return (F)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b); }
#elif defined(__AVX2__)
INLINE F min(F a, F b) { return (F)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE F max(F a, F b) { return (F)_mm256_max_ps((__m256)a, (__m256)b); }
#else
INLINE F min(F a, F b) { return a < b ? a : b; }
INLINE F max(F a, F b) { return a > b ? a : b; }
#endif
INLINE F fma(F a, F b, F c) { return a * b + c; } // contracted to one instruction where there is one
// A constant vector whose lane i is at(i). It is computed at compile time: lane by lane, it would be built at every use.
struct Lanes { int32_t lane[W]; };
template <class At>
constexpr Lanes lanes(const At& at) {
  Lanes out{};
  for (int i = 0; i < W; i++) out.lane[i] = at(i);
  return out;
}
#define LANES(i, at)                                              \
  [] {                                                            \
    static constexpr Lanes table = lanes([](int i) { return at; }); \
    I out;                                                        \
    __builtin_memcpy(&out, &table, sizeof out);                   \
    return out;                                                   \
  }()

// A mask of the first n lanes.
INLINE I inside(int64_t n) { return LANES(i, i) < (int32_t)n; }
INLINE bool any(I mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)mask) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps((__m128)mask) != 0;
#elif defined(__aarch64__)
  return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

// The lower and the upper half of the lanes, as float64.
INLINE D low_wide(F x) {
#if defined(__AVX512F__)
  return (D)_mm512_maskz_cvtps_pd((__mmask8)-1, _mm512_castps512_ps256((__m512)x));
#elif defined(__AVX2__)
  return __builtin_convertvector(__builtin_shufflevector(x, x, 0, 1, 2, 3), D);
#else
  return __builtin_convertvector(__builtin_shufflevector(x, x, 0, 1), D);
#endif
}
INLINE D high_wide(F x) {
#if defined(__AVX512F__)
  return (D)_mm512_maskz_cvtps_pd((__mmask8)-1, _mm512_extractf32x8_ps((__m512)x, 1));
#elif defined(__AVX2__)
  return __builtin_convertvector(__builtin_shufflevector(x, x, 4, 5, 6, 7), D);
#else
  return __builtin_convertvector(__builtin_shufflevector(x, x, 2, 3), D);
#endif
}
// Lane i is (a, b)[index[i]], where b's lanes follow a's.
INLINE F shuffle(F a, F b, I index) {
#if defined(__clang__)
  F out;
  for (int i = 0; i < W; i++) out[i] = index[i] < W ? a[index[i] % W] : b[index[i] % W];
  return out;
#else
  return __builtin_shuffle(a, b, index);
#endif
}

// The sum of the lanes, by adding halves.
template <int half = W / 2>
INLINE float total(F x) {
  x += shuffle(x, x, LANES(i, i ^ half));
  if constexpr (half > 1) return total<half / 2>(x);
  return x[0];
}
INLINE double total(D x) {
  double lanes[W / 2];
  __builtin_memcpy(lanes, &x, sizeof x);
#pragma GCC unroll 3
  for (int half = W / 4; half > 0; half /= 2)
#pragma GCC unroll 4
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Lane i is the sum of the lanes of x[i].
template <int half = W / 2>
INLINE F totals(F (&x)[W]) {
  const I own = LANES(i, i & half ? W + i : i), other = LANES(i, i & half ? W + i - half : i + half);
#pragma GCC unroll 8
  for (int i = 0; i < half; i++) x[i] = shuffle(x[i], x[i + half], own) + shuffle(x[i], x[i + half], other);
  if constexpr (half > 1) return totals<half / 2>(x);
  return x[0];
}

// Rows become columns in log2(W) rounds, which exchange halves of ever smaller blocks: of each block of 2 · half lanes, the
// first row gets the first halves of both rows, the second row the second halves.
template <int half = W / 2>
INLINE void transpose(F (&rows)[W]) {
  const I low = LANES(i, i & half ? W + i - half : i), high = LANES(i, i & half ? W + i : i + half);
#pragma GCC unroll 8
  for (int pair = 0; pair < W / 2; pair++) {
    const int i = pair / half * 2 * half + pair % half;
    const F a = rows[i], b = rows[i + half];
    rows[i] = shuffle(a, b, low);
    rows[i + half] = shuffle(a, b, high);
  }
  if constexpr (half > 1) transpose<half / 2>(rows);
}

// Adding and subtracting 1.5 · 2^23 rounds to the nearest integer, for |x| < 2^22.
constexpr float round_magic = 12582912.0f;

// The greatest lane; a NaN may be ignored.
template <int half = W / 2>
INLINE float greatest(F x) {
  x = max(x, shuffle(x, x, LANES(i, i ^ half)));
  if constexpr (half > 1) return greatest<half / 2>(x);
  return x[0];
}

// Calls full(i) for each whole step of W in [0, n), then part(i, count) for what remains.
template <class Full, class Part>
INLINE void each(int64_t n, const Full& full, const Part& part) {
  int64_t i = 0;
  for (; i + W <= n; i += W) full(i);
  if (i < n) part(i, n - i);
}

} // namespace ptm::PTM_ISA
