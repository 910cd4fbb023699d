// x Wᵀ by ranges of rows and columns. What all ranges need is prepared once, on the thread that owns the work.
#pragma once
#include <memory>

#include "simd/int8_gemm.h"

namespace ptm {

class Product {
 public:
  // x [rows, depth] and the memory of `w` must outlive this. Of one thread, only one product may be alive. rounds: x to 8 bits
  // by group, for weights of 8 bits.
  Product(const float* x, const RowWeights& w, int64_t rows, int64_t columns, int64_t depth, bool rounds = false);

  // y[i * y_stride + j] = bias[j] + x[i] · w[first + j] for j < count and all rows, on this thread; y and bias begin at
  // column `first`.
  void operator()(int64_t first, int64_t count, float* y, int64_t y_stride, const float* bias) const {
    multiply(0, rows_, first, count, y, y_stride, bias);
  }

  // The same for x[top] to x[top + rows - 1], where `top` is a multiple of job_rows(); y begins at row `top`.
  void multiply(int64_t top, int64_t rows, int64_t first, int64_t count, float* y, int64_t y_stride, const float* bias) const;

  // Whether this is a product of float32 on the vector units, which sgemm divides among the threads better.
  bool is_sgemm() const { return way_ == Way::panels && !w_.bits && w_.dtype == Dtype::float32; }

  // How many columns make a job: their weights fit in a cache, and ranges that begin at multiples of it need no remainders.
  int64_t job_columns() const;

  // How many rows make a job: on tiles, as many as stay in the second-level cache beside the columns.
  int64_t job_rows() const;

  // How many rows should be one product: on tiles, so many that what is prepared for them takes little memory.
  static int64_t rows_at_once(const RowWeights& w, int64_t rows, int64_t depth);

 private:
  enum class Way { registers, tiles, panels, int8, int8_tiles };
  void round();
  void widened(int64_t top, int64_t rows, int64_t first, int64_t count, float* y, int64_t y_stride, const float* bias) const;

  const float *x_, *sums_, *sorted_;
  RowWeights w_;
  int64_t rows_, columns_, depth_;
  Way way_;
  const uint16_t* packed_ = nullptr;
  RoundedRows rounded_{};
  std::unique_ptr<float[]> wide_x_; // x after rounding, where it is not finite
};

} // namespace ptm
