#pragma once
#include "simd/isa.h"

// The floats that lstm_pack writes.
PTM_KERNEL(int64_t, lstm_packed_size, int64_t units)

// The recurrent weights [4 · units, units] of the gates i, f, g, o, in the order in which lstm_run reads them.
PTM_KERNEL(void, lstm_pack, const float* weight, int64_t units, float* packed)

// Runs `rows` sequences (at most lstm_rows): gates [rows, length, 4 · units] are x Wx + bias; y [rows, length, units].
// hidden and cell [rows, units] are the state before the first step; cell becomes the one after the last.
constexpr int lstm_rows = 4;
PTM_KERNEL(void, lstm_run, const float* gates, const float* packed, const float* hidden, float* y, float* cell, int64_t rows, int64_t length, int64_t units)

// Runs one step of one sequence; sums [4 · units] are the recurrent weights times the hidden state.
PTM_KERNEL(void, lstm_units, const float* gates, const float* sums, float* y, float* cell, int64_t units)
