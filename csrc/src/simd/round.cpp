#include "simd/int8_gemm.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

INLINE I nearest(F x) { // ties to even
#if defined(__AVX512F__)
  return (I)_mm512_cvtps_epi32((__m512)x);
#elif defined(__AVX2__)
  return (I)_mm256_cvtps_epi32((__m256)x);
#elif defined(__SSE2__)
  return (I)_mm_cvtps_epi32((__m128)x);
#else
  I y;
  for (int i = 0; i < W; i++) y[i] = (int32_t)__builtin_rintf(x[i]);
  return y;
#endif
}

bool round_to_int8(const float* x, int64_t groups, int64_t group, int8_t* q, float* scales, float* sums, int32_t* starts) {
  typedef int8_t Bytes __attribute__((vector_size(W), aligned(1), may_alias));
  constexpr int32_t infinity = 0x7f800000;
  bool is_finite = true;
  for (int64_t g = 0; g < groups; g++, x += group, q += group) {
    I infinite{};
    F largest{};
    for (int64_t k = 0; k < group; k += W) {
      const F size = abs(load(x + k));
      infinite |= (I)size >= infinity;
      largest = max(size, largest);
    }
    const float top = greatest(largest);
    const bool is_zero = !(top > 1e-30f); // or so small that 127 / top could be infinite
    const float inverse = is_zero ? 0 : 127 / top;
    I sum{};
    for (int64_t k = 0; k < group; k += W) {
      const I whole = nearest(load(x + k) * splat(inverse));
      sum += whole;
      *(Bytes*)(q + k) = __builtin_convertvector(whole, Bytes);
    }
    int32_t all = 0;
    for (int i = 0; i < W; i++) all += sum[i];
    scales[g] = is_zero ? 0 : top / 127;
    sums[g] = scales[g] * (float)all;
    starts[g] = -128 * all;
    if (any(infinite)) {
      scales[g] = -1;
      is_finite = false;
    }
  }
  return is_finite;
}

} // namespace ptm::PTM_ISA
