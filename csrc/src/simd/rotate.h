#pragma once
#include "simd/dtype.h"
#include "simd/isa.h"

// y[i] = x[i] cos[i] - x[half + i] sin[i], y[half + i] = x[i] sin[i] + x[half + i] cos[i] for i < half; the rest of a row is
// copied. x, y [rows, width], cos, sin [length, half]: row r has the angles of position r modulo length, from `first` on.
PTM_KERNEL(void, rotate, ptm::Dtype dtype, const void* x, const float* cos, const float* sin, void* y, int64_t first,
           int64_t end, int64_t length, int64_t half, int64_t width)
