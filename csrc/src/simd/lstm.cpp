#include "simd/lstm.h"

#include "simd/math.h"

namespace ptm::PTM_ISA {

int64_t lstm_packed_size(int64_t units) { return (units + W - 1) / W * W * 4 * units; }

// packed[block][k][gate][lane]: a block of W units reads the weights of its four gates in one stream.
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

// Updates the cell state from the sums of the four gates, and returns the new hidden state.
INLINE F unit(const F (&g)[4], float* cell, int64_t lanes) {
  const F state = sigmoid(g[1]) * load(cell, lanes) + sigmoid(g[0]) * tanh(g[2]);
  store(cell, state, lanes);
  return sigmoid(g[3]) * tanh(state);
}

template <int R>
static void step(const float* gates, int64_t gates_row, const float* weights, const float* before, int64_t before_row,
                 float* y, int64_t y_row, float* cell, int64_t units, bool backwards) {
  const int64_t blocks = (units + W - 1) / W;
  for (int64_t i = 0; i < blocks; i++) {
    const int64_t block = (backwards ? blocks - 1 - i : i) * W;
    const float* packed = weights + 4 * block * units;
    const int64_t lanes = units - block < W ? units - block : W;
    F sum[R][4];
    for (int i = 0; i < R; i++)
      for (int gate = 0; gate < 4; gate++) sum[i][gate] = load(gates + i * gates_row + gate * units + block, lanes);
    // Two sums for each gate if there is one row only, which would wait for its own additions. They are short, which is
    // more exact.
    constexpr int S = R == 1 ? 2 : 1;
    for (int64_t k = 0; k < units;) {
      F some[R][S][4] = {};
      const int64_t stop = k + 32 * S < units ? k + 32 * S : units;
      for (; k + S <= stop; k += S)
#pragma GCC unroll 2
        for (int s = 0; s < S; s++)
#pragma GCC unroll 4
          for (int gate = 0; gate < 4; gate++) {
            const F w = load(packed + ((k + s) * 4 + gate) * W);
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) some[i][s][gate] += splat(before[i * before_row + k + s]) * w;
          }
      for (; k < stop; k++)
        for (int gate = 0; gate < 4; gate++)
          for (int i = 0; i < R; i++) some[i][0][gate] += splat(before[i * before_row + k]) * load(packed + (k * 4 + gate) * W);
      for (int i = 0; i < R; i++)
        for (int gate = 0; gate < 4; gate++) sum[i][gate] += S == 2 ? some[i][0][gate] + some[i][S - 1][gate] : some[i][0][gate];
    }
    for (int i = 0; i < R; i++) store(y + i * y_row + block, unit(sum[i], cell + i * units + block, lanes), lanes);
  }
}

void lstm_run(const float* gates, const float* packed, const float* hidden, float* y, float* cell, int64_t rows, int64_t length,
              int64_t units) {
  const int64_t gates_row = length * 4 * units, y_row = length * units;
  for (int64_t t = 0; t < length; t++) {
    const float* now = gates + t * 4 * units;
    // The weights may be as large as the cache: alternating the direction finds half of them still there.
    const bool odd = t % 2;
    const float* before = t ? y + (t - 1) * units : hidden;
    const int64_t before_row = t ? y_row : units;
    float* to = y + t * units;
    switch (rows) {
      case 1: step<1>(now, gates_row, packed, before, before_row, to, y_row, cell, units, odd); break;
      case 2: step<2>(now, gates_row, packed, before, before_row, to, y_row, cell, units, odd); break;
      case 3: step<3>(now, gates_row, packed, before, before_row, to, y_row, cell, units, odd); break;
      default: step<4>(now, gates_row, packed, before, before_row, to, y_row, cell, units, odd);
    }
  }
}

void lstm_units(const float* gates, const float* sums, float* y, float* cell, int64_t units) {
  for (int64_t i = 0; i < units; i += W) {
    const int64_t lanes = units - i < W ? units - i : W;
    F g[4];
    for (int gate = 0; gate < 4; gate++) g[gate] = load(gates + gate * units + i, lanes) + load(sums + gate * units + i, lanes);
    store(y + i, unit(g, cell + i, lanes), lanes);
  }
}

} // namespace ptm::PTM_ISA
