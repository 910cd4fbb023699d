#include "simd/int8_gemm.h"

#include "simd/storage.h"

namespace ptm::PTM_ISA {

typedef uint8_t Bytes __attribute__((vector_size(4 * W), aligned(1), may_alias));

// The first n of 4 · W bytes; the others are zero.
INLINE Bytes load_bytes(const void* p, int64_t n) {
#if defined(__AVX512F__)
  if (n < 4 * W) return (Bytes)_mm512_maskz_loadu_epi8((1ull << n) - 1, p);
#endif
  return *(const Bytes*)p; // groups are of 32 numbers or more
}

// Adds to each lane the products of its four bytes, x from -127 to 127 times q, or q - 128, which needs no start.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
INLINE I first_sum(int32_t start) { return LANES(i, i == 0 ? -1 : 0) & start; }
INLINE I dot(I sum, Bytes q, Bytes x) {
#if defined(__AVX512VNNI__)
  return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)q, (__m512i)x);
#else
  return (I)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)q, (__m256i)x);
#endif
}
#else
INLINE I first_sum(int32_t) { return I{}; }
INLINE I dot(I sum, Bytes q, Bytes x) { // two products of sizes up to 128 · 127 fit into 16 bits
  q ^= (uint8_t)128;
#if defined(__AVX512F__)
  const __m512i turned = _mm512_mask_sub_epi8((__m512i)x, _mm512_movepi8_mask((__m512i)q), _mm512_setzero_si512(), (__m512i)x);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8((__m512i)q), turned);
  return sum + (I)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)q), _mm256_sign_epi8((__m256i)x, (__m256i)q));
  return sum + (I)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(__SSSE3__)
  const __m128i pairs = _mm_maddubs_epi16(_mm_abs_epi8((__m128i)q), _mm_sign_epi8((__m128i)x, (__m128i)q));
  return sum + (I)_mm_madd_epi16(pairs, _mm_set1_epi16(1));
#else
  for (int i = 0; i < 4 * W; i++) sum[i / 4] += (int8_t)q[i] * (int8_t)x[i];
  return sum;
#endif
}
#endif

template <int R, int C>
static void tile(const RoundedRows& x, int64_t row, const RowWeights& w, int64_t column, float* y, int64_t y_stride, int64_t depth,
                 const float* bias) {
  const int64_t groups = depth / w.group;
  const uint8_t* weights = (const uint8_t*)w.data + column * w.row_bytes;
  const int8_t* q = x.q + row * depth;
  const float *x_scales = x.scales + row * groups, *x_sums = x.sums + row * groups;
  float scale_space[C][max_groups], bias_space[C][max_groups];
  const float *scales[C], *biases[C];
  F sum[R][C] = {};
  for (int64_t from = 0; from < groups; from += max_groups) {
    const int64_t count = groups - from < max_groups ? groups - from : max_groups;
    for (int j = 0; j < C; j++) {
      const int64_t at = (column + j) * groups + from;
      scales[j] = group_terms(w.dtype, w.scales, at, count, scale_space[j]);
      biases[j] = group_terms(w.dtype, w.biases, at, count, bias_space[j]);
    }
    for (int i = 0; i < R; i++)
      for (int j = 0; j < C; j++)
        for (int64_t g = 0; g < count; g += W) {
          const int64_t n = count - g < W ? count - g : W;
          const F offset = fma(load_some(scales[j] + g, n), splat(128.0f), load_some(biases[j] + g, n));
          sum[i][j] += load_some(x_sums + i * groups + from + g, n) * offset;
        }
    for (int64_t g = 0; g < count; g++) {
      I part[R][C];
      for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) part[i][j] = first_sum(x.starts[(row + i) * groups + from + g]);
      const int64_t begin = (from + g) * w.group;
      for (int64_t k = begin; k < begin + w.group; k += 4 * W)
#pragma GCC unroll 4
        for (int j = 0; j < C; j++) {
          const int64_t n = begin + w.group - k < 4 * W ? begin + w.group - k : 4 * W;
          const Bytes each = load_bytes(weights + j * w.row_bytes + k, n);
          __builtin_prefetch(weights + j * w.row_bytes + k + 8192);
#pragma GCC unroll 4
          for (int i = 0; i < R; i++) part[i][j] = dot(part[i][j], each, load_bytes(q + i * depth + k, n));
        }
#pragma GCC unroll 4
      for (int j = 0; j < C; j++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++)
          sum[i][j] += splat(scales[j][g] * x_scales[i * groups + from + g]) * __builtin_convertvector(part[i][j], F);
    }
  }
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) y[(row + i) * y_stride + j] = total(sum[i][j]) + (bias ? bias[j] : 0.0f);
}

template <int R>
static void columns_of(const RoundedRows& x, int64_t row, const RowWeights& w, int64_t first, int64_t columns, float* y,
                       int64_t y_stride, int64_t depth, const float* bias) {
  constexpr int C = R == 1 ? 4 : 2;
  int64_t j = 0;
  for (; j + C <= columns; j += C) tile<R, C>(x, row, w, first + j, y + j, y_stride, depth, bias ? bias + j : nullptr);
  for (; j < columns; j++) tile<R, 1>(x, row, w, first + j, y + j, y_stride, depth, bias ? bias + j : nullptr);
}

void int8_gemm PTM_INT8_GEMM {
  constexpr int64_t block = 8; // columns whose weights stay in the first-level cache while all rows of x pass
  for (int64_t j = 0; j < columns; j += block) {
    const int64_t n = columns - j < block ? columns - j : block;
    const float* start = bias ? bias + j : nullptr;
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) columns_of<4>(x, i, w, first + j, n, y + j, y_stride, depth, start);
    for (; i < rows; i++) columns_of<1>(x, i, w, first + j, n, y + j, y_stride, depth, start);
  }
}

} // namespace ptm::PTM_ISA
