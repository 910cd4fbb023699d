#include "ops/product.h"

#include <atomic>

#include "matmul.h"
#include "pool.h"
#include "simd/amx_int8.h"

namespace ptm {

namespace {

constexpr int64_t few = 8; // rows: up to here the weight is widened in registers, for more into panels

constexpr int64_t pair = 2 * 16; // rows of two tiles, which are multiplied together
constexpr int64_t most_rows = 256, most_at_once = 512; // of one job on tiles, and of one product

// Whether tiles are faster, which cost about the same for 1 to 16 rows. Float32 numbers have three parts: they need more rows.
bool tiles_pay(const RowWeights& w, int64_t rows) {
  if (w.bits) return rows >= 4;
  return w.dtype == Dtype::float32 ? rows >= 48 : rows >= 6;
}

// The size of parts of at most `most` rows, all of about the same size.
int64_t even_parts(int64_t rows, int64_t most) {
  return rows <= most ? rows : ceil_div(ceil_div(rows, ceil_div(rows, most)), pair) * pair;
}

bool fits_tiles(const RowWeights& w, int64_t rows, int64_t depth) {
#if defined(__x86_64__)
  static const bool has_tiles = isa_level() == amx_level;
  return has_tiles && tiles_pay(w, rows) && depth >= 64 && (!w.group || w.group <= 128 || w.group % 128 == 0);
#else
  return false;
#endif
}

auto* pick_int8_gemm() {
#if defined(__x86_64__)
  if (has_vnni()) return isa_level() > 1 ? &avx512_vnni::int8_gemm : &avx2_vnni::int8_gemm;
#endif
  return PTM_PICK(int8_gemm);
}
const auto int8_gemm = pick_int8_gemm();

} // namespace

Product::Product(const float* x, const RowWeights& w, int64_t rows, int64_t columns, int64_t depth, bool rounds)
    : x_(x), sums_(x), sorted_(x), w_(w), rows_(rows), columns_(columns), depth_(depth), way_(Way::panels) {
  if (rounds) {
    round();
    return;
  }
  const bool tiled = fits_tiles(w, rows, depth);
  const bool is_float32 = !w.bits && w.dtype == Dtype::float32;
  if (!tiled && (is_float32 || rows > few)) return;
  int64_t groups = 0, size = 0;
  if (w.group) groups = rows * (depth / w.group);
#if defined(__x86_64__)
  if (tiled) size = amx::packed_size(rows, depth) / 2 + (groups / rows) * (rows + amx::side);
#endif
  float* space = scratch(kernel_slot, groups + 16 + larger(size, rows * depth));
  if (w.group) { // an Inf would make NaN: both terms of the sum would be infinite
    if (!group_sums(x, groups, w.group, space)) return;
    sums_ = space;
    space += (groups + 15) / 16 * 16;
  }
#if defined(__x86_64__)
  if (tiled) {
    const int64_t each = groups / rows, wide = ceil_div(rows, amx::side) * amx::side; // the sums by column
    for (int64_t i = 0; i < each * wide; i++) space[i] = i % wide < rows ? sums_[i % wide * each + i / wide] : 0;
    if (w.group) sums_ = space;
    space += each * wide;
    std::atomic<bool> is_finite = true;
    packed_ = (const uint16_t*)space;
    parallel_ranges(ceil_div(rows, amx::side), 1 + 4096 / depth, [&](int64_t begin, int64_t end) {
      if (!amx::pack(x, rows, depth, begin, end, (uint16_t*)space)) is_finite = false;
    });
    if (is_finite) way_ = Way::tiles;
    return;
  }
#endif
  if (w.bits == 4) {
    even_then_odd(x, rows * depth, space);
    sorted_ = space;
  }
  way_ = Way::registers;
}

// Rounds x and puts it in order for whole-number products. Where it holds NaN or Inf, for products of float32.
void Product::round() {
  const int64_t each = depth_ / w_.group, groups = rows_ * each, wide = ceil_div(rows_, 16) * 16, size = wide * depth_;
  float* space = scratch(kernel_slot, size / 2 + 3 * (groups + wide * each));
  int8_t *q = (int8_t*)space, *packed = q + size;
  float *scales = space + size / 2, *sums = scales + groups;
  int32_t* starts = (int32_t*)(sums + groups);
  std::atomic<bool> is_finite = true;
  parallel_ranges(rows_, 1 + 16384 / depth_, [&](int64_t begin, int64_t end) {
    const int64_t g = begin * each;
    if (!round_to_int8(x_ + begin * depth_, (end - begin) * each, w_.group, q + begin * depth_, scales + g, sums + g, starts + g))
      is_finite = false;
  });
  if (!is_finite) {
    wide_x_.reset(new float[rows_ * depth_]);
    for (int64_t i = 0; i < rows_ * depth_; i++) {
      const float scale = scales[i / w_.group];
      wide_x_[i] = scale < 0 ? x_[i] : scale * q[i];
    }
    x_ = wide_x_.get();
    return;
  }
  rounded_ = {q, scales, sums, starts};
  way_ = Way::int8;
#if defined(__x86_64__)
  static const bool has_tiles = has_int8_tiles();
  if (!has_tiles || columns_ < amx::side) return;
  const auto by_column = [&]<class T>(const T* from, T* to) {
    for (int64_t g = 0; g < each; g++)
      for (int64_t row = 0; row < wide; row++) to[g * wide + row] = row < rows_ ? from[row * each + g] : T{};
    return to;
  };
  float* free = (float*)(starts + groups);
  rounded_ = {packed, by_column(scales, free), by_column(sums, free + wide * each), by_column(starts, (int32_t*)free + 2 * wide * each)};
  parallel_ranges(wide / 16, 1 + 4096 / depth_, [&](int64_t begin, int64_t end) {
    amx::pack_int8(q, rows_, depth_, w_.group, begin, end, packed);
  });
  way_ = Way::int8_tiles;
#endif
}

int64_t Product::job_columns() const {
  if (way_ == Way::panels && !is_sgemm()) return panel_columns(131072 / depth_);
  const int64_t jobs = 2 * ceil_div(columns_ * w_.row_bytes, 262144); // of at most 128 KiB of weights each, and of equal length
#if defined(__x86_64__)
  if (way_ == Way::tiles && rows_ > 64) return amx::most_columns;
#endif
  const int64_t whole = way_ == Way::registers ? 4 : 64;
  return ceil_div(ceil_div(columns_, jobs), whole) * whole;
}

int64_t Product::job_rows() const {
  if (way_ != Way::tiles || w_.group) return rows_; // quantized weights are widened once for all rows
  return even_parts(rows_, most_rows);
}

int64_t Product::rows_at_once(const RowWeights& w, int64_t rows, int64_t depth) {
  return w.group || !fits_tiles(w, rows, depth) ? rows : even_parts(rows, most_at_once);
}

void Product::multiply(int64_t top, int64_t rows, int64_t first, int64_t count, float* y, int64_t y_stride,
                       const float* bias) const {
#if defined(__x86_64__)
  if (way_ == Way::int8_tiles) {
    float* space = scratch(panels_slot, 2 * amx::int8_columns * (depth_ / w_.group));
    return amx::multiply_int8(rounded_, w_, columns_, first, count, y, y_stride, rows_, depth_, bias, space);
  }
  if (way_ == Way::tiles) {
    float* space = scratch(panels_slot, amx::space_size(rows));
    const uint16_t* packed = packed_ + amx::packed_size(top, depth_);
    if (amx::multiply(packed, sums_, w_, first, count, y, y_stride, rows, depth_, bias, space)) return;
  }
#endif
  if (way_ == Way::int8) return int8_gemm(rounded_, w_, first, count, y, y_stride, rows_, depth_, bias);
  if (way_ == Way::registers) return small_batch_gemm(sorted_, sums_, w_, first, count, y, y_stride, rows_, depth_, bias);
  if (w_.bits || w_.dtype != Dtype::float32) return widened(top, rows, first, count, y, y_stride, bias);
  const float* w = (const float*)w_.data + first * depth_;
  sgemm(false, true, rows, count, depth_, 1, x_ + top * depth_, depth_, w, depth_, 0, y, y_stride, bias);
}

// Widens, packs and multiplies one block of columns.
void Product::widened(int64_t top, int64_t rows, int64_t first, int64_t count, float* y, int64_t y_stride,
                      const float* bias) const {
  float* wide = scratch(rows_slot, count * depth_);
  widen_rows(w_, first, count, depth_, wide);
  float* panels = scratch(panels_slot, panels_size(depth_, count));
  pack_panels(wide, 1, depth_, depth_, count, 1, panels);
  multiply_rows({x_ + top * depth_, depth_, &no_offset, 1, depth_, panels, y, y_stride, rows, count, bias, false, 64});
}

} // namespace ptm
