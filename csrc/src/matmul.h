// Products of float32 matrices on all threads, for the BLAS, linear layers and convolutions. How the work is divided depends
// on the shapes only, so that results do not depend on the number of threads.
#pragma once
#include <stdint.h>

namespace ptm {

#define PTM_EXPORT __attribute__((visibility("default")))

// rows × cols of C = start + A · B, where each row of A is `pieces` stretches of `length` floats: row i, piece p begins
// at a[i * lda + offsets[p]]. A plain matrix has one piece, a convolution one piece a tap.
struct GemmRows {
  const float* a;
  int64_t lda;
  const int64_t* offsets;
  int64_t pieces, length;
  const float* b; // panels, as pack_panels writes them; pieces * length deep
  float* c;
  int64_t ldc, rows, cols;
  const float* bias; // [cols] to start from, or nullptr
  bool accumulate; // start from what C holds (bias is then not read)
  // How many products are summed in one chain before they are added to the rest: short chains are more exact. A panel this
  // deep stays in the first-level cache while A streams past it.
  int64_t chain = 256;
};

inline constexpr int64_t no_offset = 0; // the offsets of a plain matrix

// A 64-byte aligned buffer of this thread, reused by the next call; buffers in use at the same time have different slots.
// sgemm uses panels_slot and rows_slot: hold neither across a call of it.
PTM_EXPORT float* scratch(int slot, int64_t floats);
enum Slot { panels_slot, rows_slot, kernel_slot, output_slot };

// `columns` rounded up to whole panels, at least one.
PTM_EXPORT int64_t panel_columns(int64_t columns);

// B [depth, cols] as panels. Shapes: b[k * row_stride + j * col_stride].
PTM_EXPORT int64_t panels_size(int64_t depth, int64_t cols);
PTM_EXPORT void pack_panels(const float* b, int64_t row_stride, int64_t col_stride, int64_t depth, int64_t cols, float scale, float* panels);

PTM_EXPORT void multiply_rows(const GemmRows& work); // on this thread

// How a rows × cols product of this depth is divided: the rows and columns of one job, and the jobs down and across. The
// columns of a job are whole panels.
struct Blocks {
  int64_t rows, cols, down, across;
  int64_t count() const { return down * across; }
};
PTM_EXPORT Blocks cut(int64_t rows, int64_t cols, int64_t depth);

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The weights [channels, taps] of a depthwise convolution as [taps, channels], in this thread's kernel_slot.
PTM_EXPORT const float* tap_major(const float* w, int64_t channels, int64_t taps);

// A row stride at which a tile's rows would compete for the same few cache lines.
inline bool aliases(int64_t stride) { return stride % 512 == 0 && stride != 0; }

PTM_EXPORT void sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
                      const float* b, int64_t ldb, float beta, float* c, int64_t ldc, const float* bias = nullptr);

} // namespace ptm
