#pragma once
#include "simd/isa.h"

// y[i * y_step + c] = bias[c] + Σ_k x[i * x_step + offsets[k] + c] · w[k * channels + c], for `rows` rows.
PTM_KERNEL(void, depthwise, const float* x, int64_t x_step, const int64_t* offsets, const float* w, const float* bias, float* y, int64_t y_step, int64_t rows, int64_t channels, int64_t taps)
