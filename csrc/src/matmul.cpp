#include "matmul.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "pool.h"
#include "simd/gemm.h"

namespace ptm {

namespace {

struct Buffer {
  float* data = nullptr;
  int64_t size = 0;
  ~Buffer() { std::free(data); }
};
thread_local Buffer buffers[4];

constexpr int64_t few = 16; // rows: up to here B is read unpacked
constexpr int64_t chunk_rows = 70; // small enough to divide evenly, large enough to reuse a panel in the first-level cache
constexpr int64_t block_floats = 131072; // half of a second-level cache
constexpr int64_t chain = 128; // shorter than the default: a linear layer is often followed by a norm, which shows its errors
constexpr double job_work = 1e6; // multiply-adds worth handing to another thread

} // namespace

float* scratch(int slot, int64_t floats) {
  Buffer& buffer = buffers[slot];
  if (buffer.size < floats) {
    std::free(buffer.data);
    buffer.size = 0;
    buffer.data = static_cast<float*>(std::aligned_alloc(64, ceil_div(floats * 4, 64) * 64));
    if (!buffer.data) throw std::bad_alloc();
    buffer.size = floats;
  }
  return buffer.data;
}

int64_t panel_columns(int64_t columns) { return larger(1, ceil_div(columns, gemm_width())) * gemm_width(); }
int64_t panels_size(int64_t depth, int64_t cols) { return ceil_div(cols, gemm_width()) * gemm_width() * depth; }

void pack_panels(const float* b, int64_t row_stride, int64_t col_stride, int64_t depth, int64_t cols, float scale,
                 float* panels) {
  const int64_t width = gemm_width(), count = ceil_div(cols, width);
  const int64_t grain = 1 + 65536 / (depth * width + 1); // panels worth a job
  parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
    const int64_t column = begin * width;
    gemm_pack(b + column * col_stride, row_stride, col_stride, depth, smaller(end * width, cols) - column, scale,
              panels + column * depth, depth);
  });
}

const float* tap_major(const float* w, int64_t channels, int64_t taps) {
  float* out = scratch(kernel_slot, taps * channels);
  for (int64_t k = 0; k < taps; k++)
    for (int64_t c = 0; c < channels; c++) out[k * channels + c] = w[c * taps + k];
  return out;
}

void multiply_rows(const GemmRows& work) { gemm_rows(work); }

Blocks cut(int64_t rows, int64_t cols, int64_t depth) {
  const int64_t width = gemm_width();
  Blocks b{rows, cols, 1, 1};
  // A large B is read from the third-level cache or from memory for every chunk, so chunks are larger then.
  b.down = ceil_div(rows, depth * cols > 8 * block_floats ? 252 : chunk_rows);
  b.rows = smaller(ceil_div(ceil_div(rows, b.down), 14) * 14, rows); // 14 rows make a tile
  b.down = ceil_div(rows, b.rows);
  // If there are few chunks, columns are divided too, as long as a job is large enough to be worth handing over.
  while (b.down * b.across < 8 && b.cols >= 4 * width && (double)b.rows * b.cols * depth > 2 * job_work) {
    b.cols = ceil_div(ceil_div(b.cols, 2), width) * width;
    b.across = ceil_div(cols, b.cols);
  }
  return b;
}

void sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b,
           int64_t ldb, float beta, float* c, int64_t ldc, const float* bias) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0 || alpha == 0 || (beta != 0 && beta != 1)) {
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? (bias ? bias[j] : 0) : beta * c[i * ldc + j];
    if (k <= 0 || alpha == 0) return;
    beta = 1;
  }
  const bool accumulate = beta == 1;

  if (m <= few && !ta) {
    const int64_t width = gemm_width(), jobs = 2 * ceil_div(n * k, 131072); // of at most 256 KiB each, and of equal length
    const int64_t grain = ceil_div(ceil_div(n, jobs), width) * width;
    parallel_ranges(n, grain, [&](int64_t j, int64_t end) {
      const float* start = bias ? bias + j : nullptr;
      if (tb)
        gemm_few_rows(a, lda, b + j * ldb, ldb, c + j, ldc, m, end - j, k, alpha, start, accumulate);
      else
        gemm_thin(a, lda, b + j, ldb, c + j, ldc, m, end - j, k, alpha, start, accumulate);
    });
    return;
  }

  // Few rows and a large B: each job packs the columns it multiplies, in its own cache. Otherwise B is packed once.
  const bool pack_inside = m < 1024 && k * n > block_floats;
  Blocks blocks = cut(m, n, k);
  if (pack_inside) {
    const int64_t width = gemm_width(), jobs = larger(8, ceil_div(k * n, block_floats));
    blocks = {m, ceil_div(ceil_div(n, jobs), width) * width, 1, 1};
    blocks.across = ceil_div(n, blocks.cols);
  }
  float* all_panels = nullptr;
  if (!pack_inside) {
    all_panels = scratch(panels_slot, panels_size(k, n));
    pack_panels(b, tb ? 1 : ldb, tb ? ldb : 1, k, n, alpha, all_panels);
  }
  const int64_t stride = k + 16 - (aliases(k + 16) ? 8 : 0);
  if (!ta && aliases(lda) && blocks.across > 1) { // otherwise every job across would copy these rows for itself
    float* copy = scratch(rows_slot, m * stride);
    parallel_ranges(m, 1 + 16384 / k, [&](int64_t i, int64_t end) {
      for (; i < end; i++) std::memcpy(copy + i * stride, a + i * lda, k * sizeof(float));
    });
    a = copy;
    lda = stride;
  }
  parallel(blocks.count(), [&](int64_t job) {
    const int64_t i = job / blocks.across * blocks.rows, j = job % blocks.across * blocks.cols;
    const int64_t rows = smaller(blocks.rows, m - i), cols = smaller(blocks.cols, n - j);
    const float* panels = all_panels + j * k;
    if (pack_inside) {
      float* mine = scratch(panels_slot, panels_size(k, cols));
      gemm_pack(b + j * (tb ? ldb : 1), tb ? 1 : ldb, tb ? ldb : 1, k, cols, alpha, mine, k);
      panels = mine;
    }
    GemmRows work{a + i * lda, lda, &no_offset, 1, k, panels, c + i * ldc + j, ldc, rows, cols, bias ? bias + j : nullptr, accumulate, chain};
    if (ta || aliases(lda)) {
      float* copy = scratch(rows_slot, rows * stride);
      if (ta)
        for (int64_t from = 0; from < rows; from += 16)
          for (int64_t p = 0; p < k; p++)
            for (int64_t r = from; r < smaller(from + 16, rows); r++) copy[r * stride + p] = a[p * lda + i + r];
      else
        for (int64_t r = 0; r < rows; r++) std::memcpy(copy + r * stride, a + (i + r) * lda, k * sizeof(float));
      work.a = copy;
      work.lda = stride;
    }
    multiply_rows(work);
  });
}

} // namespace ptm
