// Products of float32 matrices on one thread: the inner kernel, and the packing of its right operand. src/matmul.h divides
// a whole product among the threads.
#pragma once
#include "matmul.h"
#include "simd/isa.h"

// The columns of a panel.
PTM_KERNEL(int64_t, gemm_width)

// Packs B [depth, cols] into panels of `width` columns: panels[p * panel_depth * width + k * width + j] =
// scale * b[k * row_stride + (p * width + j) * col_stride], zero beyond cols. panel_depth is `depth`, or more where several
// calls fill one panel.
PTM_KERNEL(void, gemm_pack, const float* b, int64_t row_stride, int64_t col_stride, int64_t depth, int64_t cols, float scale, float* panels, int64_t panel_depth)

// The product that `work` describes.
PTM_KERNEL(void, gemm_rows, const ptm::GemmRows& work)

// C[rows, cols] = A[rows, depth] · B[cols, depth]ᵀ · scale (+ C or bias), for a few rows: B is read once, unpacked.
PTM_KERNEL(void, gemm_few_rows, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t rows, int64_t cols, int64_t depth, float scale, const float* bias, bool accumulate)

// C[rows, cols] = scale · A[rows, depth] · B[depth, cols] (+ C or bias), for a few rows: B is read once, unpacked.
PTM_KERNEL(void, gemm_thin, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t rows, int64_t cols, int64_t depth, float scale, const float* bias, bool accumulate)
