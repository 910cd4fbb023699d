#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

// Functions of each row of x [rows, size], written to y; both are row-major.

// Layer norm where `center`, else RMS norm; weight and bias [size] (float32) may be null.
PTM_KERNEL(void, norm_rows, Dtype dtype, const void* x, const float* weight, const float* bias, void* y, int64_t rows,
           int64_t size, float eps, bool center)

// softmax(scale x + mask); mask [size] (float32) may be null.
PTM_KERNEL(void, softmax_rows, Dtype dtype, const void* x, float scale, const float* mask, void* y, int64_t rows, int64_t size)

// y = a² + b² of rows that hold a and b side by side. Shapes: x [rows, 2 · size], y [rows, size].
PTM_KERNEL(void, power_rows, const float* x, float* y, int64_t rows, int64_t size)

// C[rows, cols] += A[rows, depth] · B[cols, depth]ᵀ, sums of eight added up in float64: for a transform followed by a
// logarithm, which shows small errors.
PTM_KERNEL(void, exact_products, const float* a, const float* b, float* c, int64_t ldc, int64_t rows, int64_t cols, int64_t depth)
