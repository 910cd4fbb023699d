// x rounded to 8 bits by group, times weights of 8 bits: products and sums of whole numbers, exact within a group.
#pragma once
#include "simd/small_batch_gemm.h"

namespace ptm {

// x ≈ scale · q in each group. As in small_batch_gemm, weights are taken about their middle, 128: Σ q (w - 128) = Σ q w + start.
struct RoundedRows {
  const int8_t* q; // [rows, depth], from -127 to 127
  const float *scales, *sums; // [rows, depth / group]; the sums of scale · q
  const int32_t* starts; // the same; -128 Σ q
};

} // namespace ptm

// Rounds x, to nearest, ties to even. A group that holds NaN or Inf gets scale -1; returns whether there is none.
PTM_KERNEL(bool, round_to_int8, const float* x, int64_t groups, int64_t group, int8_t* q, float* scales, float* sums,
           int32_t* starts)

// y[i, j] = bias[j] + Σ_k x[i, k] · w[j, k] for j in [first, first + columns); y and bias begin at column `first`.
#define PTM_INT8_GEMM                                                                                                  \
  (const ptm::RoundedRows& x, const ptm::RowWeights& w, int64_t first, int64_t columns, float* y, int64_t y_stride,    \
   int64_t rows, int64_t depth, const float* bias)
namespace ptm {
namespace base { void int8_gemm PTM_INT8_GEMM; }
#if defined(__x86_64__)
namespace avx2 { void int8_gemm PTM_INT8_GEMM; }
namespace avx512 { void int8_gemm PTM_INT8_GEMM; }
namespace avx2_vnni { void int8_gemm PTM_INT8_GEMM; }
namespace avx512_vnni { void int8_gemm PTM_INT8_GEMM; }
#endif
} // namespace ptm
