// Products on AMX tiles, which multiply bfloat16 numbers and sum in float32. A float32 number is the sum of three bfloat16
// numbers; six of the nine products of such parts make up a product to within 2^-26. A tile is 16 rows of 32 numbers.
#pragma once
#include "simd/small_batch_gemm.h"

#if defined(__x86_64__)
namespace ptm::amx {

constexpr int64_t side = 16, step = 32, chain = 128; // rows of a tile; numbers of its rows; products in one chain of sums

// Columns that are multiplied together: their parts stay in the first-level cache, or, so that many rows of x pass less
// often, in the second.
constexpr int64_t most_columns = 128;
static inline int64_t block_columns(int64_t rows) { return rows > 64 ? most_columns : 32; }

static inline int64_t tiles(int64_t n, int64_t size) { return (n + size - 1) / size; }

// The parts of x [rows, depth] in the order of tiles: 16-bit numbers for rows [16 · group, 16 · end). Returns false if a
// number is NaN, or 1e30 or larger.
static inline int64_t packed_size(int64_t rows, int64_t depth) { return tiles(rows, side) * tiles(depth, step) * 3 * side * step; }
bool pack(const float* x, int64_t rows, int64_t depth, int64_t group, int64_t end, uint16_t* packed);

// y[i * y_stride + j] = bias[j] + Σ_k x[i, k] · w[first + j, k] for j in [0, columns); y and bias begin at column `first`.
// For quantized weights, `sums` [groups, 16 · tiles] are the sums of x by group. Returns false if a weight is NaN, or 1e30 or larger: then y is
// not written whole. space: floats for this call.
static inline int64_t space_size(int64_t rows) { return block_columns(rows) * (3 * chain / 2 + tiles(rows, side) * side); }
bool multiply(const uint16_t* packed, const float* sums, const RowWeights& w, int64_t first, int64_t columns, float* y,
              int64_t y_stride, int64_t rows, int64_t depth, const float* bias, float* space);

} // namespace ptm::amx
#endif
