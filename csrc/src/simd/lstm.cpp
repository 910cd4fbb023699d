#include "simd/lstm.h"

#include "simd/math.h"

namespace ptm::PTM_ISA {

int64_t lstm_packed_size(int64_t units) { return (units + W - 1) / W * W * 4 * units; }

// packed[block][k][gate][lane]: one block of W units reads its four gates' weights in one stream.
void lstm_pack(const float* weight, int64_t units, float* packed) {
  for (int64_t block = 0; block < units; block += W, packed += 4 * W * units)
    for (int gate = 0; gate < 4; gate++)
      for (int64_t k = 0; k < units; k += W) {
        const int64_t deep = units - k < W ? units - k : W;
        F square[W];
        for (int lane = 0; lane < W; lane++)
          square[lane] = block + lane < units ? load(weight + (gate * units + block + lane) * units + k, deep) : F{};
        transpose(square);
        for (int64_t i = 0; i < deep; i++) store(packed + ((k + i) * 4 + gate) * W, square[i]);
      }
}

template <int R>
static void step(const float* gates, int64_t gates_row, const float* weights, const float* before, float* y,
                 int64_t y_row, float* cell, int64_t units, bool backwards) {
  const int64_t blocks = (units + W - 1) / W;
  for (int64_t i = 0; i < blocks; i++) {
    const int64_t block = (backwards ? blocks - 1 - i : i) * W;
    const float* packed = weights + 4 * block * units;
    const int64_t lanes = units - block < W ? units - block : W;
    // Two sums of each gate where one row alone would wait for its own additions.
    constexpr int S = R == 1 ? 2 : 1;
    F sum[R][S][4] = {};
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int gate = 0; gate < 4; gate++)
        sum[i][0][gate] = load(gates + i * gates_row + gate * units + block, lanes);
    if (before) {
      int64_t k = 0;
      for (; k + S <= units; k += S)
#pragma GCC unroll 2
        for (int s = 0; s < S; s++)
#pragma GCC unroll 4
          for (int gate = 0; gate < 4; gate++) {
            const F w = load(packed + ((k + s) * 4 + gate) * W);
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) sum[i][s][gate] += splat(before[i * y_row + k + s]) * w;
          }
      for (; k < units; k++)
        for (int gate = 0; gate < 4; gate++)
          for (int i = 0; i < R; i++) sum[i][0][gate] += splat(before[i * y_row + k]) * load(packed + (k * 4 + gate) * W);
    }
    for (int i = 0; i < R; i++) {
      F g[4];
      for (int gate = 0; gate < 4; gate++) {
        g[gate] = sum[i][0][gate];
        if (S == 2) g[gate] += sum[i][S - 1][gate];
      }
      float* c = cell + i * units + block;
      const F state = sigmoid(g[1]) * load(c, lanes) + sigmoid(g[0]) * tanh(g[2]);
      store(c, state, lanes);
      store(y + i * y_row + block, sigmoid(g[3]) * tanh(state), lanes);
    }
  }
}

void lstm_run(const float* gates, const float* packed, float* y, float* cell, int64_t rows, int64_t length,
              int64_t units) {
  const int64_t gates_row = length * 4 * units, y_row = length * units;
  for (int64_t i = 0; i < rows * units; i++) cell[i] = 0;
  for (int64_t t = 0; t < length; t++) {
    const float* now = gates + t * 4 * units;
    // Weights as large as the cache: going through them to and fro finds half of them still there.
    const bool odd = t % 2;
    const float* before = t ? y + (t - 1) * units : nullptr;
    float* to = y + t * units;
    switch (rows) {
      case 1: step<1>(now, gates_row, packed, before, to, y_row, cell, units, odd); break;
      case 2: step<2>(now, gates_row, packed, before, to, y_row, cell, units, odd); break;
      case 3: step<3>(now, gates_row, packed, before, to, y_row, cell, units, odd); break;
      default: step<4>(now, gates_row, packed, before, to, y_row, cell, units, odd);
    }
  }
}

} // namespace ptm::PTM_ISA
