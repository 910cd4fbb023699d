#pragma once
#include "simd/isa.h"

// Of n numbers: the `count` greatest among those that are at least `bound`, greatest first and equal ones by their place, to
// which `first` is added, and -1 as the place of those that are missing; the greatest of all; and Σ e^(y - greatest). NaN
// counts as -Inf among the greatest, and makes the sum NaN. Without a bound (-Inf) none is missing if count <= n.
PTM_KERNEL(void, greatest_of_row, const float* y, int64_t n, int32_t first, int64_t count, float bound, float* values,
           int32_t* places, float* top, float* sum)
