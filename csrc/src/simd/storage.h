// Loads and stores that convert: float, float16 and bfloat16 in memory, float32 in registers.
#pragma once
#include "simd/dtype.h"
#include "simd/vec.h"

namespace ptm::PTM_ISA {

#if defined(__aarch64__)
typedef __fp16 Half; // before version 13, g++ has no _Float16 there
#else
typedef _Float16 Half;
#endif
struct BFloat { uint16_t bits; };
typedef uint16_t U16 __attribute__((vector_size(2 * W)));
typedef uint16_t U16s __attribute__((vector_size(2 * W), aligned(2), may_alias));

INLINE F load(const BFloat* p) { return (F)(__builtin_convertvector(*(const U16s*)p, I) << 16); }
INLINE void store(BFloat* p, F x) { // to nearest, ties to even
  const I bits = (I)x;
  const I rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  *(U16s*)p = __builtin_convertvector(x != x ? splat(0x7fc0) : rounded, U16);
}

INLINE F load(const Half* p) {
#if defined(__AVX512F__)
  return (F)_mm512_maskz_cvtph_ps((__mmask16)-1, _mm256_loadu_si256((const __m256i*)p));
#elif defined(__AVX2__)
  return (F)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  F x;
  for (int i = 0; i < W; i++) x[i] = p[i];
  return x;
#endif
}
INLINE void store(Half* p, F x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtps_ph((__mmask16)-1, (__m512)x, 0));
#elif defined(__AVX2__)
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)x, 0));
#else
  for (int i = 0; i < W; i++) p[i] = (Half)x[i];
#endif
}

// The first n of W elements; the other lanes are zero.
template <class T>
INLINE F load(const T* p, int64_t n) {
  T lanes[W]{};
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)lanes, _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
  for (int i = 0; i < n; i++) lanes[i] = p[i];
#endif
  return load(lanes);
}
template <class T>
INLINE void store(T* p, F x, int64_t n) {
  T lanes[W];
  store(lanes, x);
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), _mm256_loadu_si256((const __m256i*)lanes));
#else
  for (int i = 0; i < n; i++) p[i] = lanes[i];
#endif
}

template <class T>
INLINE F load_some(const T* p, int64_t n) { return n == W ? load(p) : load(p, n); }
template <class T>
INLINE void store_some(T* p, F x, int64_t n) { n == W ? store(p, x) : store(p, x, n); }

// Calls body(T*) with a null pointer of the type in memory.
template <class Body>
INLINE void with_type(Dtype dtype, const Body& body) {
  if (dtype == Dtype::float32) return body((float*)nullptr);
  if (dtype == Dtype::float16) return body((Half*)nullptr);
  body((BFloat*)nullptr);
}

// y[i] = f(x[i]) for n elements.
template <class T, class Function>
INLINE void map(const T* x, T* y, int64_t n, const Function& f) {
  each(
      n, [&](int64_t i) { store(y + i, f(load(x + i))); },
      [&](int64_t i, int64_t rest) { store(y + i, f(load(x + i, rest)), rest); });
}

constexpr int64_t max_groups = 512; // whose terms are widened at a time

// The scales (or biases) of `count` groups of a row as float32: in place, or widened into `space`.
INLINE const float* group_terms(Dtype dtype, const void* all, int64_t at, int64_t count, float (&space)[max_groups]) {
  if (dtype == Dtype::float32) return (const float*)all + at;
  with_type(dtype, [&](auto* type) {
    for (int64_t g = 0; g < count; g += W) {
      const int64_t n = count - g < W ? count - g : W;
      store(space + g, load_some((decltype(type))all + at + g, n));
    }
  });
  return space;
}

} // namespace ptm::PTM_ISA
