#pragma once
#include "simd/isa.h"

// y = x + sin²(alpha x) / alpha. x, y [rows, channels], alpha [channels].
PTM_KERNEL(void, snake, const float* x, const float* alpha, float* y, int64_t rows, int64_t channels)
