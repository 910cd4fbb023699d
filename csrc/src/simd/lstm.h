#pragma once
#include "simd/isa.h"

PTM_KERNEL(int64_t, lstm_packed_size, int64_t units)

// The recurrent weights [4 · units, units] of the gates i, f, g, o, in the order in which lstm_run reads them.
PTM_KERNEL(void, lstm_pack, const float* weight, int64_t units, float* packed)

// `rows` sequences (at most lstm_rows) from zero state: gates [rows, length, 4 · units] are x Wx + bias; y [rows, length, units].
// cell is scratch for rows · units floats.
constexpr int lstm_rows = 4;
PTM_KERNEL(void, lstm_run, const float* gates, const float* packed, float* y, float* cell, int64_t rows, int64_t length, int64_t units)
