// What one-dimensional convolutions share.
#pragma once
#include "matmul.h"
#include "ops/op.h"

namespace ptm {

// An array in memory, by strides in floats. Shapes: [batch, length, channels].
struct Input {
  const float* data;
  int64_t length, channels, batch_stride, row_stride, channel_stride;

  explicit Input(const array& x)
      : data(x.data<float>()), length(x.shape(1)), channels(x.shape(2)), batch_stride(x.strides(0)),
        row_stride(x.strides(1)), channel_stride(x.strides(2)) {}

  // Copies `count` rows, `step` rows apart from row `first`, to rows `stride` floats apart; zeros outside the input.
  void copy(int64_t item, int64_t first, int64_t step, int64_t count, float* to, int64_t stride) const;

  // Rows [first, last) of one item, next to each other in memory, zeros outside the input: in place, or copied.
  // Sets `stride` to the floats from row to row.
  const float* rows(int64_t item, int64_t first, int64_t last, bool packed, int64_t& stride) const;
};

// y[b, i, :] = bias + Σ_k W[:, k] · x[b, i·stride - left + k·dilation] (+ add[b, i, :], laid out like y).
struct Geometry {
  int64_t batch, rows, cols, taps, stride, left, dilation, groups;
};

// The same convolution with two thirds of the multiplications, and whether that is faster.
bool winograd_pays(const Input& x, const Geometry& g);
void convolve_winograd(const Input& x, const Geometry& g, const float* w, const float* bias, const float* add, float* y);

} // namespace ptm
