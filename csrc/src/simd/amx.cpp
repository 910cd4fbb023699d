#include "simd/amx.h"

#include "simd/storage.h"

namespace ptm::amx {

constexpr int64_t tile_numbers = side * step, square = side * side;

struct Registers { // all eight: 16 rows of 64 bytes
  struct { uint8_t palette = 1, start = 0, none[14] = {}; uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64}; uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16}; } shape;
  Registers() { _tile_loadconfig(&shape); }
  ~Registers() { _tile_release(); }
};

typedef __m512i Three[3];

INLINE F low_half(__m512i x) { return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)), 16); }
INLINE F high_half(__m512i x) { return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x, 1)), 16); }

// 32 numbers as the sum of three bfloat16 numbers each, the largest part first. Each part is rounded to the nearest.
INLINE void split_nearest(F low, F high, Three& parts) {
#pragma GCC unroll 3
  for (int p = 0; p < 3; p++) {
    parts[p] = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    low -= low_half(parts[p]);
    high -= high_half(parts[p]);
  }
}

// The same with N parts, each cut off: three hold every bit of a float32 number. Faster, and good enough for one operand.
template <int N>
INLINE void split(F low, F high, __m512i (&parts)[N]) {
  const __m512i kept = _mm512_set1_epi32((int)0xffff0000);
  const __m512i upper = _mm512_or_si512(_mm512_slli_epi32((__m512i)LANES(i, 4 * i + 3), 16), (__m512i)LANES(i, 4 * i + 1)); // 16-bit numbers 1, 3, 5, …
#pragma GCC unroll 3
  for (int p = 0; p < N; p++) {
    parts[p] = _mm512_permutex2var_epi16((__m512i)low, upper, (__m512i)high);
    if (p + 1 == N) break;
    low -= (F)_mm512_and_si512((__m512i)low, kept);
    high -= (F)_mm512_and_si512((__m512i)high, kept);
  }
}

INLINE __m512i larger_bits(__m512i bits, F x) { return _mm512_max_epu32(bits, (__m512i)abs(x)); }
INLINE bool all_small(__m512i bits) { return !any((I)bits >= (int32_t)0x7149f2ca); } // 1e30

// Sums of a chunk for C × R squares: 16 rows of w each times 16 rows of x. The parts of a square stand `w_next` and `x_next`
// numbers after those of the one before. The small products come first: added to a large sum they would lose bits.
template <int N, int C, int R>
INLINE void chunk_products(const uint16_t* w, int64_t w_next, const uint16_t* x, int64_t x_next, int64_t steps, float* sums) {
  const auto load_w = [&](int64_t part) {
    _tile_loadd(4, w + part * tile_numbers, 64);
    if constexpr (C > 1) _tile_loadd(5, w + w_next + part * tile_numbers, 64);
  };
  const auto load_x = [&](int64_t part) {
    _tile_loadd(6, x + part * tile_numbers, 64);
    if constexpr (R > 1) _tile_loadd(7, x + x_next + part * tile_numbers, 64);
  };
  const auto multiply = [] {
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (R > 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (C > 1) _tile_dpbf16ps(2, 5, 6);
    if constexpr (C > 1 && R > 1) _tile_dpbf16ps(3, 5, 7);
  };
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; s++) {
    load_w(s * N), load_x(s * 3 + 2), multiply();
    load_x(s * 3 + 1), multiply();
    if constexpr (N > 1) {
      load_w(s * N + 1), multiply();
      load_x(s * 3), multiply();
    }
    if constexpr (N > 2) load_w(s * N + 2), multiply();
  }
  for (int64_t s = 0; s < steps; s++) load_w(s * N), load_x(s * 3), multiply();
  _tile_stored(0, sums, 64);
  if constexpr (R > 1) _tile_stored(1, sums + square, 64);
  if constexpr (C > 1) _tile_stored(2, sums + 2 * square, 64);
  if constexpr (C > 1 && R > 1) _tile_stored(3, sums + 3 * square, 64);
}

template <int N>
INLINE void chunk_products(int64_t c, int64_t r, const uint16_t* w, int64_t w_next, const uint16_t* x, int64_t x_next, int64_t steps, float* sums) {
  if (c > 1 && r > 1) return chunk_products<N, 2, 2>(w, w_next, x, x_next, steps, sums);
  if (c > 1) return chunk_products<N, 2, 1>(w, w_next, x, x_next, steps, sums);
  if (r > 1) return chunk_products<N, 1, 2>(w, w_next, x, x_next, steps, sums);
  chunk_products<N, 1, 1>(w, w_next, x, x_next, steps, sums);
}

template <int N>
struct Count { static constexpr int value = N; };

template <class T>
INLINE F load_inside(const T* row, int64_t k, int64_t depth) {
  return k + W <= depth ? load(row + k) : k < depth ? load(row + k, depth - k) : F{};
}

// The right operand: pairs of numbers of one row stand in a column.
bool pack(const float* x, int64_t rows, int64_t depth, int64_t group, int64_t end, uint16_t* packed) {
  const int64_t steps = tiles(depth, step);
  __m512i largest{};
  for (; group < end; group++)
    for (int64_t s = 0; s < steps; s++) {
      F parts[3][side];
      for (int64_t r = 0; r < side; r++) {
        const int64_t row = group * side + r, k = s * step;
        const F low = row < rows ? load_inside(x + row * depth, k, depth) : F{};
        const F high = row < rows ? load_inside(x + row * depth, k + W, depth) : F{};
        largest = larger_bits(larger_bits(largest, low), high);
        Three three;
        split_nearest(low, high, three);
        for (int p = 0; p < 3; p++) parts[p][r] = (F)three[p];
      }
      for (int p = 0; p < 3; p++) {
        transpose(parts[p]);
        float* to = (float*)(packed + ((group * steps + s) * 3 + p) * tile_numbers);
        for (int64_t r = 0; r < side; r++) store(to + r * W, parts[p][r]);
      }
    }
  return all_small(largest);
}

// 32 weights of a row from k on, as N parts.
template <int N, class T>
struct FloatRows {
  const T* data;
  int64_t depth;
  __m512i largest{};
  void parts(int64_t row, int64_t k, __m512i (&out)[N]) {
    const F low = load_inside(data + row * depth, k, depth), high = load_inside(data + row * depth, k + W, depth);
    largest = larger_bits(larger_bits(largest, low), high);
    split(low, high, out);
  }
};

struct ByteRows {
  const uint8_t* data;
  int64_t depth;
  __m512i largest{};
  void parts(int64_t row, int64_t k, __m512i (&out)[1]) const {
    const __m512i middle = _mm512_set1_epi32(128);
    auto wide = [&](int64_t at) {
      return (F)_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(data + row * depth + at))), middle));
    };
    split(wide(k), wide(k + W), out);
  }
};

struct NibbleRows {
  const uint8_t* data;
  int64_t depth;
  __m512i largest{};
  void parts(int64_t row, int64_t k, __m512i (&out)[1]) const {
    // bfloat16 numbers from -8 to 7, by the lowest four of a lane's five index bits
    const __m512i table = _mm512_broadcast_i64x4(_mm256_setr_epi16(
        (short)0xc100, (short)0xc0e0, (short)0xc0c0, (short)0xc0a0, (short)0xc080, (short)0xc040, (short)0xc000, (short)0xbf80, 0,
        0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0));
    const __m512i pairs = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(data + (row * depth + k) / 2)));
    const __m512i index = _mm512_or_si512(_mm512_and_si512(pairs, _mm512_set1_epi32(15)), _mm512_slli_epi32(_mm512_srli_epi32(pairs, 4), 16));
    out[0] = _mm512_permutexvar_epi16(index, table);
  }
};

INLINE float term(Dtype dtype, const void* all, int64_t at) {
  if (dtype == Dtype::float32) return ((const float*)all)[at];
  float out = 0;
  with_type(dtype, [&](auto* type) { out = load((decltype(type))all + at, 1)[0]; });
  return out;
}

template <int N, class Weights>
static bool multiply(const uint16_t* packed, const float* sums, const RowWeights& w, Weights& weights, int64_t first,
                     int64_t columns, float* y, int64_t y_stride, int64_t rows, int64_t depth, const float* bias, float* space) {
  const Registers registers;
  const int64_t steps = tiles(depth, step), row_tiles = tiles(rows, side), groups = w.group ? depth / w.group : 0;
  const int64_t length = w.group && w.group < chain ? w.group : chain;
  const int64_t block = block_columns(rows);
  uint16_t* parts = (uint16_t*)space; // [columns / 16, step, part] tiles
  float* totals = space + 3 * block * chain / 2; // [rows / 16, columns / 16] squares, a row for each column
  alignas(64) float products[2 * 4 * square];
  float scale[most_columns] = {}, offset[most_columns] = {};
  const int64_t step_bytes = step * w.row_bytes / depth;
  const float middle = w.bits == 8 ? 128 : 8;
  for (int64_t j = 0; j < columns; j += block) {
    const int64_t count = columns - j < block ? columns - j : block, column_tiles = tiles(count, side);
    for (int64_t i = 0; i < row_tiles * block * side; i += W) store(totals + i, F{});
    for (int64_t k = 0; k < depth; k += length) {
      const int64_t here = tiles(depth - k < length ? depth - k : length, step);
      for (int64_t c = 0; c < column_tiles; c++)
        for (int64_t i = 0; i < side; i++) {
          const int64_t column = j + c * side + i;
          for (int64_t s = 0; s < here; s++) {
            __m512i out[N] = {};
            if (column < columns) {
              const char* next = (const char*)w.data + (first + column + side) * w.row_bytes + (k / step + s) * step_bytes;
              __builtin_prefetch(next);
              if constexpr (N == 3) __builtin_prefetch(next + 64);
              weights.parts(first + column, k + s * step, out);
            }
            for (int p = 0; p < N; p++) _mm512_store_si512(parts + (((c * here + s) * N) + p) * tile_numbers + i * step, out[p]);
          }
        }
      const bool starts = w.group && k % w.group == 0;
      for (int64_t i = 0; w.group && i < count; i++) {
        const int64_t at = (first + j + i) * groups + k / w.group;
        scale[i] = term(w.dtype, w.scales, at);
        offset[i] = term(w.dtype, w.biases, at) + middle * scale[i];
      }
      const auto add = [&](int64_t r, int64_t c, const float* sum) { // a square of products to its total
        float* total = totals + (r * (block / side) + c) * square;
        if (!w.group) {
#pragma GCC unroll 4
          for (int64_t i = 0; i < square; i += W) store(total + i, load(total + i) + load(sum + i));
          return;
        }
        const F x_sum = load(sums + k / w.group * row_tiles * side + r * side);
        const float *scales = scale + c * side, *offsets = offset + c * side;
#pragma GCC unroll 4
        for (int64_t i = 0; i < side; i++) {
          const F product = fma(splat(scales[i]), load(sum + i * W), load(total + i * W));
          store(total + i * W, starts ? fma(splat(offsets[i]), x_sum, product) : product);
        }
      };
      // The tiles work on a block of squares while the vector units add the one before.
      const int64_t w_next = here * N * tile_numbers, x_next = steps * 3 * tile_numbers;
      int64_t last_r = 0, last_c = 0, last_rs = 0, last_cs = 0;
      float *sum = products, *last = products + 4 * square;
      const auto add_last = [&] {
        for (int64_t t = 0; t < last_cs; t++)
          for (int64_t q = 0; q < last_rs; q++) add(last_r + q, last_c + t, last + (2 * t + q) * square);
      };
      for (int64_t r = 0; r < row_tiles; r += 2)
        for (int64_t c = 0; c < column_tiles; c += 2) {
          const int64_t rs = row_tiles - r < 2 ? 1 : 2, cs = column_tiles - c < 2 ? 1 : 2;
          const uint16_t* x = packed + r * x_next + k / step * 3 * tile_numbers;
          chunk_products<N>(cs, rs, parts + c * w_next, w_next, x, x_next, here, sum);
          add_last();
          float* next = last;
          last = sum;
          sum = next;
          last_r = r, last_c = c, last_rs = rs, last_cs = cs;
        }
      add_last();
    }
    for (int64_t r = 0; r < row_tiles; r++)
      for (int64_t c = 0; c < column_tiles; c++) {
        F total[side];
        for (int64_t i = 0; i < side; i++) total[i] = load(totals + (r * (block / side) + c) * square + i * W);
        transpose(total);
        const int64_t column = j + c * side, n = columns - column < W ? columns - column : W;
        const F start = bias ? load_some(bias + column, n) : F{};
        for (int64_t i = 0; i < side && r * side + i < rows; i++)
          store_some(y + (r * side + i) * y_stride + column, total[i] + start, n);
      }
  }
  return all_small(weights.largest);
}

bool multiply(const uint16_t* packed, const float* sums, const RowWeights& w, int64_t first, int64_t columns, float* y,
              int64_t y_stride, int64_t rows, int64_t depth, const float* bias, float* space) {
  const auto run = [&](auto parts, auto weights) {
    return multiply<decltype(parts)::value>(packed, sums, w, weights, first, columns, y, y_stride, rows, depth, bias, space);
  };
  if (w.bits == 8) return run(Count<1>{}, ByteRows{(const uint8_t*)w.data, depth});
  if (w.bits == 4) return run(Count<1>{}, NibbleRows{(const uint8_t*)w.data, depth});
  if (w.dtype == Dtype::float32) return run(Count<3>{}, FloatRows<3, float>{(const float*)w.data, depth});
  if (w.dtype == Dtype::float16) return run(Count<2>{}, FloatRows<2, Half>{(const Half*)w.data, depth});
  return run(Count<1>{}, FloatRows<1, BFloat>{(const BFloat*)w.data, depth});
}

} // namespace ptm::amx
