#pragma once
#include "simd/isa.h"

// The differences and sums of rows of x, `ld` floats apart: far[i] = x[i] - x[i+2], sum[i] = x[i] + x[i+1], step[i] = x[i+1] -
// x[i]. Those that need rows beyond the last are left out.
PTM_KERNEL(void, winograd_inputs, const float* x, int64_t rows, int64_t channels, int64_t ld, float* far, float* sum, float* step)

// y[2i] = m0 + m1 + m2 and y[2i+1] = m1 - m2 + m3, each + bias + add, for `rows` rows of y and `cols` columns.
// m is four blocks of `block` floats with rows m_ld apart; rows of y and of add are y_ld apart; bias and add may be null.
// Returns whether all numbers of y are finite.
PTM_KERNEL(bool, winograd_join, const float* m, int64_t block, int64_t m_ld, const float* bias, const float* add, float* y, int64_t y_ld, int64_t rows, int64_t cols)
