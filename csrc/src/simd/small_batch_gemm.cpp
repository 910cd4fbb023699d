#include "simd/small_batch_gemm.h"

#include "simd/storage.h"

namespace ptm::PTM_ISA {

typedef uint8_t Bytes __attribute__((vector_size(W), aligned(1), may_alias));

INLINE F widen(Bytes q) {
#if defined(__AVX512F__)
  return (F)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)q));
#elif defined(__AVX2__)
  return (F)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)&q)));
#else
  return __builtin_convertvector(__builtin_convertvector(q, I), F);
#endif
}

// The same for bytes from -128 to 127.
INLINE F widen_signed(Bytes q) {
#if defined(__AVX512F__)
  return (F)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)q));
#elif defined(__AVX2__)
  return (F)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)&q)));
#else
  return widen(q ^ (uint8_t)128) - 128.0f;
#endif
}

// The lower and the upper four bits of each byte, minus 8.
struct Halves { F low, high; };
INLINE Halves halves(Bytes q) {
#if defined(__AVX512F__)
  const F values = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  const __m512i index = _mm512_cvtepu8_epi32((__m128i)q); // the look-up uses only the lowest four bits
  return {(F)_mm512_permutexvar_ps(index, (__m512)values), (F)_mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), (__m512)values)};
#else
  return {widen_signed((q & 15) - (uint8_t)8), widen_signed((q >> 4) - (uint8_t)8)};
#endif
}

// W values of 4 bits from W / 2 bytes, the lower half of a byte first.
INLINE Bytes nibbles(const uint8_t* p) {
  typedef uint8_t Sixteen __attribute__((vector_size(16)));
  Sixteen pairs{};
  __builtin_memcpy(&pairs, p, W / 2);
  const Sixteen low = pairs & 15, high = pairs >> 4;
  const Sixteen q = __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  Bytes out;
  __builtin_memcpy(&out, &q, W);
  return out;
}

constexpr int64_t prefetch_bytes = 8192; // rows are too short for the processor to predict that the next one follows

// The dot products of R rows of x with C rows of w.
template <class T, int R, int C>
static void dot_products(const float* x, const T* w, int64_t depth, float (&out)[R][C]) {
  F sum[R][C] = {};
  int64_t k = 0;
  for (; k + W <= depth; k += W)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      __builtin_prefetch((const char*)(w + j * depth + k) + prefetch_bytes);
      const F y = load(w + j * depth + k);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) sum[i][j] += load(x + i * depth + k) * y;
    }
  if (k < depth)
    for (int j = 0; j < C; j++) {
      const F y = load(w + j * depth + k, depth - k);
      for (int i = 0; i < R; i++) sum[i][j] += load(x + i * depth + k, depth - k) * y;
    }
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) out[i][j] = total(sum[i][j]);
}

// Σ w x = scale Σ (q - middle) x + (bias + middle · scale) Σ x in each group: with q about its middle, the two sums are no
// larger than the result, and neither are their errors.
template <int BITS, int R, int C>
static void quantized(const float* x, const float* sums, const RowWeights& w, int64_t column, int64_t depth,
                      float (&out)[R][C]) {
  const uint8_t* rows = (const uint8_t*)w.data + column * w.row_bytes;
  const int64_t groups = depth / w.group;
  constexpr uint8_t middle = 1 << (BITS - 1);
  F sum[R][C] = {}, offset[R][C] = {};
  float scale_space[C][max_groups], bias_space[C][max_groups];
  const float *scales[C], *biases[C];
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
          const F bias = fma(load_some(scales[j] + g, n), splat((float)middle), load_some(biases[j] + g, n));
          offset[i][j] += load_some(sums + i * groups + from + g, n) * bias;
        }
    for (int64_t g = 0; g < count; g++) {
      F part[R][C] = {};
      const int64_t begin = (from + g) * w.group;
      for (int j = 0; j < C; j++) __builtin_prefetch(rows + j * w.row_bytes + begin * BITS / 8 + prefetch_bytes);
      if constexpr (BITS == 8) {
        for (int64_t k = begin; k < begin + w.group; k += W)
#pragma GCC unroll 4
          for (int j = 0; j < C; j++) {
            const F q = widen_signed(*(const Bytes*)(rows + j * w.row_bytes + k) ^ middle);
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) part[i][j] += load(x + i * depth + k) * q;
          }
      } else {
        for (int64_t k = begin; k < begin + w.group; k += 32)
#pragma GCC unroll 4
          for (int b = 0; b < 16; b += W)
#pragma GCC unroll 4
            for (int j = 0; j < C; j++) {
              const Bytes q = *(const Bytes*)(rows + j * w.row_bytes + k / 2 + b);
              const auto [even, odd] = halves(q);
#pragma GCC unroll 4
              for (int i = 0; i < R; i++) {
                part[i][j] += load(x + i * depth + k + b) * even;
                part[i][j] += load(x + i * depth + k + 16 + b) * odd;
              }
            }
      }
#pragma GCC unroll 4
      for (int j = 0; j < C; j++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) sum[i][j] += splat(scales[j][g]) * part[i][j];
    }
  }
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) out[i][j] = total(sum[i][j] + offset[i][j]);
}

template <int R, int C>
static void tile(const float* x, const float* sums, const RowWeights& w, int64_t column, float* y, int64_t y_stride,
                 int64_t depth, const float* bias) {
  float out[R][C];
  if (w.bits == 8)
    quantized<8, R, C>(x, sums, w, column, depth, out);
  else if (w.bits == 4)
    quantized<4, R, C>(x, sums, w, column, depth, out);
  else
    with_type(w.dtype, [&](auto* type) { dot_products<>(x, (decltype(type))w.data + column * depth, depth, out); });
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) y[i * y_stride + j] = out[i][j] + (bias ? bias[j] : 0.0f);
}

template <int R>
static void columns_of(const float* x, const float* sums, const RowWeights& w, int64_t first, int64_t columns, float* y,
                       int64_t y_stride, int64_t depth, const float* bias) {
  constexpr int C = R == 1 ? 4 : 2;
  int64_t j = 0;
  for (; j + C <= columns; j += C)
    tile<R, C>(x, sums, w, first + j, y + j, y_stride, depth, bias ? bias + j : nullptr);
  for (; j < columns; j++) tile<R, 1>(x, sums, w, first + j, y + j, y_stride, depth, bias ? bias + j : nullptr);
}

void small_batch_gemm(const float* x, const float* sums, const RowWeights& w, int64_t first, int64_t columns, float* y,
                  int64_t y_stride, int64_t rows, int64_t depth, const float* bias) {
  const int64_t groups = w.group ? depth / w.group : 0;
  constexpr int64_t block = 8; // columns whose weights stay in the first-level cache while all rows of x pass
  for (int64_t j = 0; j < columns; j += rows > 4 ? block : columns) {
    const int64_t n = rows > 4 && columns - j > block ? block : columns - j;
    const float* start = bias ? bias + j : nullptr;
    for (int64_t i = 0; i < rows; i += 4) {
      const float *from = x + i * depth, *from_sums = sums + i * groups;
      float* to = y + i * y_stride + j;
      switch (rows - i) {
        case 1: columns_of<1>(from, from_sums, w, first + j, n, to, y_stride, depth, start); break;
        case 2: columns_of<2>(from, from_sums, w, first + j, n, to, y_stride, depth, start); break;
        case 3: columns_of<3>(from, from_sums, w, first + j, n, to, y_stride, depth, start); break;
        default: columns_of<4>(from, from_sums, w, first + j, n, to, y_stride, depth, start);
      }
    }
  }
}

bool group_sums(const float* x, int64_t groups, int64_t group, float* sums) {
  I small = splat(-1);
  for (int64_t g = 0; g < groups; g++) {
    D sum{};
    for (const float* p = x + g * group; p < x + (g + 1) * group; p += W) {
      const F v = load(p);
      small &= abs(v) < 1e30f;
      sum += low_wide(v) + high_wide(v);
    }
    sums[g] = (float)total(sum);
  }
  return !any(~small);
}

void even_then_odd(const float* x, int64_t n, float* out) {
  for (const float* end = x + n; x < end; x += 32, out += 32)
    for (int64_t k = 0; k < 16; k += W) {
      const F a = load(x + 2 * k), b = load(x + 2 * k + W);
      store(out + k, shuffle(a, b, LANES(i, 2 * i)));
      store(out + 16 + k, shuffle(a, b, LANES(i, 2 * i + 1)));
    }
}

void narrow(Dtype dtype, const float* x, int64_t n, void* y) {
  with_type(dtype, [&](auto* type) {
    auto* to = (decltype(type))y;
    auto one = [&](int64_t i, int64_t count) { store_some(to + i, load_some(x + i, count), count); };
    each(n, [&](int64_t i) { one(i, W); }, one);
  });
}

void widen_rows(const RowWeights& w, int64_t first, int64_t columns, int64_t depth, float* out) {
  const int64_t groups = w.group ? depth / w.group : 0;
  for (int64_t j = 0; j < columns; j++, out += depth) {
    if (!w.bits) {
      with_type(w.dtype, [&](auto* type) {
        const auto* row = (decltype(type))w.data + (first + j) * depth;
        for (int64_t k = 0; k < depth; k += W) {
          const int64_t n = depth - k < W ? depth - k : W;
          store_some(out + k, load_some(row + k, n), n);
        }
      });
      continue;
    }
    const uint8_t* row = (const uint8_t*)w.data + (first + j) * w.row_bytes;
    float scale_space[max_groups], bias_space[max_groups];
    const float *scales = nullptr, *biases = nullptr;
    for (int64_t g = 0; g < groups; g++) {
      if (g % max_groups == 0) {
        const int64_t at = (first + j) * groups + g, count = groups - g < max_groups ? groups - g : max_groups;
        scales = group_terms(w.dtype, w.scales, at, count, scale_space);
        biases = group_terms(w.dtype, w.biases, at, count, bias_space);
      }
      const F scale = splat(scales[g % max_groups]), bias = splat(biases[g % max_groups]);
      for (int64_t k = g * w.group; k < (g + 1) * w.group; k += W) {
        Bytes q;
        if (w.bits == 8)
          q = *(const Bytes*)(row + k);
        else
          q = nibbles(row + k / 2);
        store(out + k, fma(widen(q), scale, bias));
      }
    }
  }
}

} // namespace ptm::PTM_ISA
