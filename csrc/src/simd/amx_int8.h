// Products of x rounded to 8 bits with weights of 8 bits on AMX tiles, which read the weights where they lie.
#pragma once
#include "simd/amx.h"
#include "simd/int8_gemm.h"

#if defined(__x86_64__)
namespace ptm::amx {

// q [rows, depth] in the order of tiles, for rows [16 · tile, 16 · end): bytes for `rows` rounded up to whole tiles.
void pack_int8(const int8_t* q, int64_t rows, int64_t depth, int64_t group, int64_t tile, int64_t end, int8_t* packed);

// y[i * y_stride + j] = bias[j] + Σ_k x[i, k] · w[first + j, k] for j in [0, columns); y and bias begin at column `first`. x: its
// q packed, its scales, sums and starts by column, [groups, 16 · tiles]. all_columns: of the weights, 16 or more. space: floats for this
// call, 2 · int8_columns · groups.
constexpr int64_t int8_columns = 64; // that are multiplied together: rows of y are written in longer stretches
void multiply_int8(const RoundedRows& x, const RowWeights& w, int64_t all_columns, int64_t first, int64_t columns, float* y,
                   int64_t y_stride, int64_t rows, int64_t depth, const float* bias, float* space);

} // namespace ptm::amx
#endif
