#pragma once
#include "simd/isa.h"

namespace ptm {
enum class Arithmetic { add, subtract, multiply, divide };

// Where an operand is: `row` floats from row to row, `step` from number to number.
struct Operand {
  const float* data;
  int64_t row, step;
};
} // namespace ptm

// y[i * n + j] = a[i, j] op b[i, j], for `rows` rows of n.
PTM_KERNEL(void, arithmetic, Arithmetic op, Operand a, Operand b, float* y, int64_t rows, int64_t n)
