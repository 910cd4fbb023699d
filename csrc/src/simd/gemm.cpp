#include "simd/gemm.h"

#include "simd/vec.h"

namespace ptm::PTM_ISA {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 14; // 28 accumulators, 2 of B and 1 of A: 31 of 32 registers
#else
constexpr int ROWS = 6; // 12 accumulators, 2 of B and 1 of A: 15 of 16 registers
#endif
constexpr int NV = 2; // vectors in a panel's row
constexpr int WIDTH = NV * W;
constexpr int64_t SLAB = 1024; // depth of a panel that stays in the second-level cache while all rows pass


int64_t gemm_width() { return WIDTH; }

void gemm_pack(const float* b, int64_t row_stride, int64_t col_stride, int64_t depth, int64_t cols, float scale,
               float* panels, int64_t panel_depth) {
  for (int64_t begin = 0; begin < cols; begin += WIDTH, panels += panel_depth * WIDTH) {
    const int64_t count = cols - begin < WIDTH ? cols - begin : WIDTH;
    const float* from = b + begin * col_stride;
    if (col_stride == 1) {
      for (int64_t k = 0; k < depth; k++)
        for (int v = 0; v < NV; v++) {
          const int64_t left = count - v * W;
          const float* p = from + k * row_stride + v * W;
          store(panels + k * WIDTH + v * W, scale * (left >= W ? load(p) : left > 0 ? load(p, left) : F{}));
        }
      continue;
    }
    // Columns far apart: read each along its own direction, W at a time, and turn W × W squares.
    for (int64_t k = 0; k < depth; k += W) {
      const int64_t deep = depth - k < W ? depth - k : W;
      for (int v = 0; v < NV; v++) {
        F square[W];
        for (int j = 0; j < W; j++) {
          const int64_t column = v * W + j;
          const float* p = from + column * col_stride + k * row_stride;
          if (column >= count) {
            square[j] = F{};
          } else if (row_stride == 1) {
            square[j] = deep == W ? load(p) : load(p, deep);
            __builtin_prefetch(p + 4 * W); // too many streams at once for the processor to predict
          } else {
            square[j] = F{};
            for (int64_t i = 0; i < deep; i++) square[j][i] = p[i * row_stride];
          }
        }
        transpose(square);
        for (int64_t i = 0; i < deep; i++) store(panels + (k + i) * WIDTH + v * W, scale * square[i]);
      }
    }
  }
}

// The inner kernel: C = start + R rows of A times `depth` rows of a panel, summed in registers. The start is added last: one
// chain of sums over the whole depth would be 3 to 6 times less accurate than PyTorch's at a depth of 768 to 3,072.
template <int R, int V>
static void tile(const float* a, int64_t lda, const float* b, int64_t depth, const float* from, int64_t from_stride,
                 float* c, int64_t ldc) {
  F sum[R][V];
#pragma GCC unroll 14
  for (int i = 0; i < R; i++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) sum[i][v] = F{};
  // 14 rows are addressed by two pointers and three strides, which fit in registers thanks to scaled addressing. The empty
  // asm hides from the compiler how the strides are related: otherwise it would keep 14 pointers in memory.
  const char *low = (const char*)a, *high = low + 7 * lda * 4;
  const int64_t s1 = lda * 4;
  int64_t s3 = s1 * 3, s5 = s1 * 5;
  asm("" : "+r"(s3), "+r"(s5), "+r"(high));
  for (int64_t k = 0; k < depth; k++, low += 4, high += 4, b += WIDTH) {
    F column[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) column[v] = load(b + v * W);
#define PTM_ROW(i, pointer, offset)                              \
  if constexpr (i < R) {                                         \
    const F x = splat(*(const float*)((pointer) + (offset)));    \
    _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) sum[i][v] += x * column[v]; \
  }
    PTM_ROW(0, low, 0)
    PTM_ROW(1, low, s1)
    PTM_ROW(2, low, s1 * 2)
    PTM_ROW(3, low, s3)
    PTM_ROW(4, low, s1 * 4)
    PTM_ROW(5, low, s5)
    PTM_ROW(6, low, s3 * 2)
    PTM_ROW(7, high, 0)
    PTM_ROW(8, high, s1)
    PTM_ROW(9, high, s1 * 2)
    PTM_ROW(10, high, s3)
    PTM_ROW(11, high, s1 * 4)
    PTM_ROW(12, high, s5)
    PTM_ROW(13, high, s3 * 2)
#undef PTM_ROW
  }
#pragma GCC unroll 14
  for (int i = 0; i < R; i++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const F start = from ? load(from + i * from_stride + v * W) : F{};
      store(c + i * ldc + v * W, start + sum[i][v]);
    }
}

using Tile = void (*)(const float*, int64_t, const float*, int64_t, const float*, int64_t, float*, int64_t);
#if defined(__AVX512F__) || defined(__aarch64__)
#define PTM_TILES(V)                                                                                               \
  {tile<1, V>, tile<2, V>, tile<3, V>,  tile<4, V>,  tile<5, V>,  tile<6, V>,  tile<7, V>,                          \
   tile<8, V>, tile<9, V>, tile<10, V>, tile<11, V>, tile<12, V>, tile<13, V>, tile<14, V>}
#else
#define PTM_TILES(V) {tile<1, V>, tile<2, V>, tile<3, V>, tile<4, V>, tile<5, V>, tile<6, V>}
#endif
static const Tile tiles[NV][ROWS] = {PTM_TILES(1), PTM_TILES(2)};

// One panel, all rows, one stretch of the depth in chains of at most `chain`. Rows are divided evenly among tiles.
static void panel(const GemmRows& w, const float* a, const float* b, int64_t depth, int64_t chain, int64_t column,
                  bool accumulate) {
  const int64_t cols = w.cols - column < WIDTH ? w.cols - column : WIDTH;
  const int vectors = cols > W ? 2 : 1;
  const int64_t count = (w.rows + ROWS - 1) / ROWS, small = w.rows / count, larger = w.rows % count;
  float* c = w.c + column;
  const bool whole = cols == vectors * W;
  // The sums of a tile between chains, and of columns that do not fill a panel: nothing beyond the last is read or written.
  float sums[ROWS * WIDTH], edge_bias[WIDTH] = {};
  const float* bias = w.bias ? w.bias + column : nullptr;
  if (!whole && bias) {
    for (int64_t j = 0; j < cols; j++) edge_bias[j] = bias[j];
    bias = edge_bias;
  }
  for (int64_t t = 0; t < count; t++) {
    const int64_t rows = small + (t < larger);
    const Tile run = tiles[vectors - 1][rows - 1];
    const float* from = accumulate ? c : bias;
    int64_t from_stride = accumulate ? w.ldc : 0;
    if (!whole && accumulate) {
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < WIDTH; j++) sums[i * WIDTH + j] = j < cols ? c[i * w.ldc + j] : 0;
      from = sums;
      from_stride = WIDTH;
    }
    int64_t k = 0;
    for (; k + chain < depth; k += chain) {
      run(a + k, w.lda, b + k * WIDTH, chain, from, from_stride, sums, WIDTH);
      from = sums;
      from_stride = WIDTH;
    }
    run(a + k, w.lda, b + k * WIDTH, depth - k, from, from_stride, whole ? c : sums, whole ? w.ldc : WIDTH);
    if (!whole)
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) c[i * w.ldc + j] = sums[i * WIDTH + j];
    a += rows * w.lda;
    c += rows * w.ldc;
  }
}

void gemm_rows(const GemmRows& w) {
  if (w.rows == 0 || w.cols == 0) return;
  const int64_t depth = w.pieces * w.length;
  // `chain` or a little less, so that all chains are as long.
  const int64_t blocks = w.length > 0 ? (w.length + w.chain - 1) / w.chain : 1;
  const int64_t chain = w.length > 0 ? (w.length + blocks - 1) / blocks : 1;
  const int64_t slab = chain * (SLAB / chain > 1 ? SLAB / chain : 1);
  bool accumulate = w.accumulate;
  for (int64_t piece = 0; piece < w.pieces; piece++)
    for (int64_t k = 0; k < w.length || (k == 0 && piece == 0); k += slab) {
      const int64_t deep = w.length - k < slab ? w.length - k : slab;
      for (int64_t column = 0; column < w.cols; column += WIDTH)
        panel(w, w.a + w.offsets[piece] + k, w.b + column * depth + (piece * w.length + k) * WIDTH, deep, chain, column,
              accumulate);
      accumulate = true;
    }
}

// Accumulators of a tile of dot products; with the operands they fit in the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int SUMS = 16;
#else
constexpr int SUMS = 8;
#endif

// Dot products along the depth: R rows of A with C rows of B at once. With AHEAD, the next C rows of B are fetched meanwhile:
// rows are too short for the processor to predict that the next ones follow.
template <int R, int C, bool AHEAD>
INLINE void dots(const float* a, int64_t lda, const float* b, int64_t ldb, int64_t depth, float (&out)[SUMS]) {
  static_assert(R * C <= SUMS && SUMS % W == 0);
  F sum[SUMS] = {};
  int64_t k = 0;
  for (; k + W <= depth; k += W) {
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) {
      const float* p = b + j * ldb + k;
      if constexpr (AHEAD) __builtin_prefetch(p + C * ldb);
      const F y = load(p);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) sum[i * C + j] += load(a + i * lda + k) * y;
    }
  }
  if (k < depth)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) {
      const F y = load(b + j * ldb + k, depth - k);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) sum[i * C + j] += load(a + i * lda + k, depth - k) * y;
    }
#pragma GCC unroll 4
  for (int first = 0; first < R * C; first += W) {
    F square[W];
#pragma GCC unroll 16
    for (int n = 0; n < W; n++) square[n] = sum[first + n];
    store(out + first, totals(square));
  }
}

template <int R, bool AHEAD>
static void few(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t cols,
                int64_t depth, float scale, const float* bias, bool accumulate) {
  auto put = [&](int64_t i, int64_t j, float value) {
    float* to = c + i * ldc + j;
    *to = scale * value + (accumulate ? *to : bias ? bias[j] : 0.0f);
  };
  constexpr int C = R == 1 ? 8 : SUMS / 4;
  int64_t j = 0;
  float out[SUMS];
  for (; j + C <= cols; j += C) {
    dots<R, C, AHEAD>(a, lda, b + j * ldb, ldb, depth, out);
    for (int i = 0; i < R; i++)
      for (int v = 0; v < C; v++) put(i, j + v, out[i * C + v]);
  }
  for (; j < cols; j++) {
    dots<R, 1, AHEAD>(a, lda, b + j * ldb, ldb, depth, out);
    for (int i = 0; i < R; i++) put(i, j, out[i]);
  }
}

void gemm_few_rows(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t rows,
                   int64_t cols, int64_t depth, float scale, const float* bias, bool accumulate) {
  constexpr int64_t block = 8; // columns whose rows of B stay in the first-level cache while all rows of A pass
  for (int64_t j = 0; j < cols; j += rows > 4 ? block : cols) {
    const int64_t n = rows > 4 && cols - j > block ? block : cols - j;
    for (int64_t i = 0; i < rows;) {
      const auto run = [&](auto kernel, int64_t r) {
        kernel(a + i * lda, lda, b + j * ldb, ldb, c + i * ldc + j, ldc, n, depth, scale, bias ? bias + j : nullptr,
               accumulate);
        i += r;
      };
      const bool ahead = i == 0;
      switch (rows - i) {
        case 1: run(ahead ? few<1, true> : few<1, false>, 1); break;
        case 2: run(ahead ? few<2, true> : few<2, false>, 2); break;
        case 3: run(ahead ? few<3, true> : few<3, false>, 3); break;
        default: run(ahead ? few<4, true> : few<4, false>, 4);
      }
    }
  }
}

// c[i, :] += scale · Σ a[i, k] · b[k, :] over D rows of B, for R rows.
template <int R, int D>
static void outer(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t cols,
                  float scale) {
  F x[R][D];
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int k = 0; k < D; k++) x[i][k] = splat(scale * a[i * lda + k]);
  each(
      cols,
      [&](int64_t j) {
        F row[D];
#pragma GCC unroll 8
        for (int k = 0; k < D; k++) row[k] = load(b + k * ldb + j);
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) {
          F sum = load(c + i * ldc + j);
#pragma GCC unroll 8
          for (int k = 0; k < D; k++) sum += x[i][k] * row[k];
          store(c + i * ldc + j, sum);
        }
      },
      [&](int64_t j, int64_t n) {
        for (int i = 0; i < R; i++) {
          F sum = load(c + i * ldc + j, n);
          for (int k = 0; k < D; k++) sum += x[i][k] * load(b + k * ldb + j, n);
          store(c + i * ldc + j, sum, n);
        }
      });
}

void gemm_thin(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t rows,
               int64_t cols, int64_t depth, float scale, const float* bias, bool accumulate) {
  if (!accumulate)
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < cols; j++) c[i * ldc + j] = bias ? bias[j] : 0.0f;
  constexpr int D = W == 16 ? 8 : 4;
  for (int64_t k = 0; k < depth;) {
    const int64_t deep = depth - k >= D ? D : 1;
    for (int64_t i = 0; i < rows;) {
      const float* from = a + i * lda + k;
      float* to = c + i * ldc;
      const float* with = b + k * ldb;
      if (rows - i >= 2) {
        deep == D ? outer<2, D>(from, lda, with, ldb, to, ldc, cols, scale) : outer<2, 1>(from, lda, with, ldb, to, ldc, cols, scale);
        i += 2;
      } else {
        deep == D ? outer<1, D>(from, lda, with, ldb, to, ldc, cols, scale) : outer<1, 1>(from, lda, with, ldb, to, ldc, cols, scale);
        i += 1;
      }
    }
    k += deep;
  }
}

} // namespace ptm::PTM_ISA
