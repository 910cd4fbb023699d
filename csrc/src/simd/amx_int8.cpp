#include "simd/amx_int8.h"

#include "simd/storage.h"

namespace ptm::amx {

constexpr int64_t square = side * side;

// Numbers of a group that one tile holds.
INLINE int64_t step_of(int64_t group) { return group % 64 ? 32 : 64; }

void pack_int8(const int8_t* q, int64_t rows, int64_t depth, int64_t group, int64_t tile, int64_t end, int8_t* packed) {
  const int64_t step = step_of(group);
  for (; tile < end; tile++)
    for (int64_t k = 0; k < depth; k += step) {
      F lines[side];
      for (int64_t i = 0; i < side; i++) {
        const int64_t row = tile * side + i;
        lines[i] = row < rows ? load((const float*)(q + row * depth + k), step / 4) : F{};
      }
      transpose(lines); // four bytes at a time
      for (int64_t i = 0; i < step / 4; i++) store((float*)(packed + (tile * depth + k + i * 4) * side), lines[i]);
    }
}

struct Int8Registers { // 0: sums, 1: 16 rows of weights, 2: 16 rows of x, four of their numbers in a line
  struct { uint8_t palette = 1, start = 0, none[14] = {}; uint16_t bytes[16] = {64, 64, 64}; uint8_t rows[16] = {16, 16, 16}; } shape;
  explicit Int8Registers(int64_t step) {
    shape.bytes[1] = (uint16_t)step;
    shape.rows[2] = (uint8_t)(step / 4);
    _tile_loadconfig(&shape);
  }
  ~Int8Registers() { _tile_release(); }
};

// Terms of 16 columns [16, groups] as [groups, 16].
static void columns_of_terms(Dtype dtype, const void* all, int64_t at, int64_t groups, float* out) {
  with_type(dtype, [&](auto* type) {
    for (int64_t g = 0; g < groups; g += W) {
      const int64_t n = groups - g < W ? groups - g : W;
      F terms[side];
      for (int64_t i = 0; i < side; i++) terms[i] = load_some((decltype(type))all + at + i * groups + g, n);
      transpose(terms);
      for (int64_t i = 0; i < n; i++) store(out + (g + i) * side, terms[i]);
    }
  });
}

template <int... I>
struct Places {};

// The sums for 16 columns and the rows of tile r, a vector for each column: their places are written out because only so g++
// keeps them in registers. ahead: how many columns further the weights will be needed, 0 if they are in the cache.
template <int... i>
INLINE void sums_of_square(const RoundedRows& x, const RowWeights& w, int64_t r, int64_t wide, int64_t ahead, const uint8_t* weights,
                           const float* terms, int64_t depth, int64_t groups, int64_t step, F (&out)[side], Places<i...>) {
  alignas(64) int32_t products[2][square];
  const int64_t row_bytes = w.row_bytes, group = w.group;
  const int8_t* q = x.q + r * depth * side;
  const float *x_scales = x.scales + r * side, *x_sums = x.sums + r * side;
  const int32_t* starts = x.starts + r * side;
  F sums[side] = {((void)i, F{})...};
  const auto multiply = [&](int64_t g) __attribute__((always_inline)) {
    _tile_loadd(0, starts + g * wide, 0); // the same line for every column
    for (int64_t k = g * group; k < (g + 1) * group; k += step) {
      if (ahead)
        for (int64_t column = ahead; column < ahead + side; column++) __builtin_prefetch(weights + column * row_bytes + k);
      _tile_loadd(1, weights + k, row_bytes);
      _tile_loadd(2, q + k * side, 64);
      _tile_dpbusd(0, 1, 2);
    }
    _tile_stored(0, products[g & 1], 64);
  };
  const auto add = [&](int64_t g) __attribute__((always_inline)) {
    const F x_scale = load(x_scales + g * wide), x_sum = load(x_sums + g * wide);
    const int32_t* product = products[g & 1];
    const float *scales = terms + g * side, *offsets = scales + groups * side;
    const auto one = [&](F sum, int64_t at) __attribute__((always_inline)) {
      const F part = (F)_mm512_cvtepi32_ps(_mm512_load_si512(product + at * W)) * x_scale;
      return fma(splat(offsets[at]), x_sum, fma(splat(scales[at]), part, sum));
    };
    ((sums[i] = one(sums[i], i)), ...);
  };
  multiply(0);
  for (int64_t g = 1; g < groups; g++) { // the tiles multiply a group while the vector units add the one before
    multiply(g);
    add(g - 1);
  }
  add(groups - 1);
  ((out[i] = sums[i]), ...);
}

void multiply_int8(const RoundedRows& x, const RowWeights& w, int64_t all_columns, int64_t first, int64_t columns, float* y,
                   int64_t y_stride, int64_t rows, int64_t depth, const float* bias, float* space) {
  const int64_t step = step_of(w.group), groups = depth / w.group, row_tiles = tiles(rows, side), wide = row_tiles * side;
  const Int8Registers registers(step);
  for (int64_t block = 0; block < columns; block += int8_columns) {
    const int64_t end = columns - block < int8_columns ? columns : block + int8_columns;
    // The first of the 16 columns that hold column j: at the end of the matrix some of them come a second time.
    const auto start_of = [&](int64_t j) { return first + j + side > all_columns ? all_columns - side : first + j; };
    for (int64_t j = block; j < end; j += side) {
      float* terms = space + (j - block) * 2 * groups;
      columns_of_terms(w.dtype, w.scales, start_of(j) * groups, groups, terms);
      float* offsets = terms + side * groups;
      columns_of_terms(w.dtype, w.biases, start_of(j) * groups, groups, offsets);
      for (int64_t i = 0; i < side * groups; i += W) store(offsets + i, fma(splat(128.0f), load(terms + i), load(offsets + i)));
    }
    for (int64_t r = 0; r < row_tiles; r++)
      for (int64_t j = block; j < end; j += side) {
        const int64_t at = start_of(j), again = first + j - at, n = end - j < side - again ? end - j : side - again;
        const uint8_t* weights = (const uint8_t*)w.data + at * w.row_bytes;
        const float* terms = space + (j - block) * 2 * groups;
        for (int64_t i = r * side; i < r * side + side && i < rows; i++) __builtin_prefetch(y + i * y_stride + j, 1);
        F sums[side];
        sums_of_square(x, w, r, wide, r == 0 ? int8_columns : 0, weights, terms, depth, groups, step, sums,
                       Places<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>{});
        transpose(sums);
        const F start = bias ? load(bias + j, n) : F{};
        for (int64_t i = 0; i < side && r * side + i < rows; i++) {
          float* to = y + (r * side + i) * y_stride + j;
          if (n == side) {
            store(to, sums[i] + start);
          } else {
            float own[2 * side] = {};
            store(own, sums[i]);
            store(to, load(own + again) + start, n);
          }
        }
      }
  }
}

} // namespace ptm::amx
