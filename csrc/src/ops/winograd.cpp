// Convolutions in which two neighbouring outputs share products: for three taps, four products instead of six,
//   y0 = (x0 - x2) g0 + s + d,   y1 = s - d - (x1 - x3) g2,
//   s = (x1 + x2) (g0 + g1 + g2) / 2,   d = (x2 - x1) (g0 - g1 + g2) / 2.
// More taps are taken three at a time; two left over cost three products, and one costs two. A dilated convolution is as many
// ordinary ones as its dilation. An Inf or a number near the greatest would spread to the sums it enters: rows where that
// happens are computed again, each product by itself. Source: Winograd 1980, F(2, 3); Lavin & Gray 2016, section 4.1.
#include <algorithm>
#include <memory>

#include "ops/conv.h"
#include "pool.h"
#include "simd/winograd.h"

namespace ptm {

namespace {

// The products are of sums, so their errors are larger: short chains make the result as exact as PyTorch's again.
constexpr int64_t chain = 64;

enum Stream { as_it_is, far, sum, step, streams };

// One product: rows of a stream, from row `shift` on, times the taps from `tap` on, weighted by g.
struct Piece {
  Stream stream;
  int64_t shift, tap;
  double g[3];
};

// The products that make up each of the four sums that winograd_join joins.
std::vector<Piece> pieces_of(int sum_index, int64_t taps) {
  std::vector<Piece> pieces;
  int64_t t = 0;
  for (; t + 3 <= taps; t += 3) {
    const Piece found[] = {{far, t, t, {1, 0, 0}}, {sum, t + 1, t, {0.5, 0.5, 0.5}}, {step, t + 1, t, {0.5, -0.5, 0.5}},
                           {far, t + 1, t, {0, 0, -1}}};
    pieces.push_back(found[sum_index]);
  }
  if (taps - t == 2 && sum_index != 2) {
    const Piece found[] = {{step, t, t, {-1, 0}}, {as_it_is, t + 1, t, {1, 1}}, {}, {step, t + 1, t, {0, 1}}};
    pieces.push_back(found[sum_index]);
  }
  if (taps - t == 1 && (sum_index == 0 || sum_index == 3)) pieces.push_back({as_it_is, t + sum_index / 3, t, {1}});
  return pieces;
}

// An ordinary convolution on this thread: `rows` rows of the result, y_ld apart, from rows of x `ld` apart.
void one_by_one(const Geometry& g, const float* w, int64_t channels, const float* bias, const float* add, float* y, int64_t y_ld,
                const float* x, int64_t ld, int64_t rows) {
  const int64_t depth = g.taps * channels, wide = panel_columns(1);
  std::vector<int64_t> offsets(g.taps);
  for (int64_t k = 0; k < g.taps; k++) offsets[k] = k * ld;
  float* panels = scratch(kernel_slot, panels_size(depth, wide));
  for (int64_t column = 0; column < g.cols; column += wide) {
    const int64_t cols = std::min(wide, g.cols - column);
    pack_panels(w + column * depth, 1, depth, depth, cols, 1, panels);
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = column; j < column + cols; j++) y[i * y_ld + j] = (bias ? bias[j] : 0) + (add ? add[i * y_ld + j] : 0);
    multiply_rows({x, ld, offsets.data(), g.taps, channels, panels, y + column, y_ld, rows, cols, nullptr, true});
  }
}

} // namespace

// Mixing and packing large weights takes as long as the products that it saves on 600 rows.
bool winograd_pays(const Input& x, const Geometry& g) {
  const int64_t least = g.taps * x.channels * g.cols > (1 << 20) ? 800 : 400;
  return g.groups == 1 && g.stride == 1 && g.taps >= 3 && x.channels >= 48 && g.cols >= 48 && g.rows >= 24 * g.dilation &&
      g.batch * g.rows >= least;
}

void convolve_winograd(const Input& x, const Geometry& g, const float* w, const float* bias, const float* add, float* y) {
  const int64_t C = x.channels;
  std::vector<Piece> pieces[4];
  int64_t starts[5] = {};
  for (int i = 0; i < 4; i++) {
    pieces[i] = pieces_of(i, g.taps);
    starts[i + 1] = starts[i] + panels_size(pieces[i].size() * C, g.cols);
  }
  float* panels = scratch(panels_slot, starts[4]);
  {
    const std::unique_ptr<float[]> mixed(new float[g.cols * pieces[0].size() * C]);
    for (int i = 0; i < 4; i++) {
      const int64_t depth = pieces[i].size() * C;
      parallel_ranges(g.cols, 1 + 32768 / depth, [&](int64_t begin, int64_t end) {
        for (int64_t column = begin; column < end; column++)
          for (size_t p = 0; p < pieces[i].size(); p++) {
            const Piece& piece = pieces[i][p];
            const float* taps = w + (column * g.taps + piece.tap) * C;
            const int64_t count = std::min<int64_t>(3, g.taps - piece.tap);
            float* to = mixed.get() + column * depth + p * C;
            if (count == 3)
              for (int64_t c = 0; c < C; c++)
                to[c] = (float)(piece.g[0] * taps[c] + piece.g[1] * taps[C + c] + piece.g[2] * taps[2 * C + c]);
            else
              for (int64_t c = 0; c < C; c++)
                to[c] = (float)(piece.g[0] * taps[c] + (count == 2 ? piece.g[1] * taps[C + c] : 0));
          }
      });
      pack_panels(mixed.get(), 1, depth, depth, g.cols, 1, panels + starts[i]);
    }
  }

  const int64_t longest = ceil_div(g.rows, g.dilation), pairs = ceil_div(longest, 2);
  const int64_t most = std::clamp<int64_t>(9000 / C, 28, 84), chunks = ceil_div(pairs, most), chunk = ceil_div(pairs, chunks);
  const int64_t ld = aliases(2 * C) ? C + 8 : C, reach = 2 * chunk + g.taps - 1, stream_size = reach * ld;
  const int64_t block_cols = panel_columns(1), m_size = chunk * block_cols;
  std::vector<int64_t> offsets[4];
  for (int i = 0; i < 4; i++)
    for (const Piece& piece : pieces[i]) offsets[i].push_back(piece.stream * stream_size + piece.shift * ld);
  parallel(g.batch * g.dilation * chunks, [&](int64_t job) {
    const int64_t item = job / chunks / g.dilation, phase = job / chunks % g.dilation, first = job % chunks * chunk * 2;
    const int64_t rows = std::min(2 * chunk, ceil_div(g.rows - phase, g.dilation) - first);
    if (rows <= 0) return;
    float* space = scratch(rows_slot, streams * stream_size + 4 * m_size);
    float* m = space + streams * stream_size;
    const int64_t half = ceil_div(rows, 2), used = 2 * half + g.taps - 1, start = phase + first * g.dilation;
    x.copy(item, start - g.left, g.dilation, used, space, ld);
    winograd_inputs(space, used, C, ld, space + far * stream_size, space + sum * stream_size, space + step * stream_size);
    const int64_t at = (item * g.rows + start) * g.cols, y_ld = g.dilation * g.cols;
    bool finite = true;
    for (int64_t column = 0; column < g.cols; column += block_cols) {
      const int64_t cols = std::min(block_cols, g.cols - column);
      for (int i = 0; i < 4; i++)
        if (const int64_t count = pieces[i].size())
          multiply_rows({space, 2 * ld, offsets[i].data(), count, C, panels + starts[i] + column * count * C, m + i * m_size,
                         block_cols, half, cols, nullptr, false, chain});
      finite &= winograd_join(m, m_size, block_cols, bias ? bias + column : nullptr, add ? add + at + column : nullptr,
                              y + at + column, y_ld, rows, cols);
    }
    if (!finite) one_by_one(g, w, C, bias, add ? add + at : nullptr, y + at, y_ld, space, ld, rows);
  });
}

} // namespace ptm
