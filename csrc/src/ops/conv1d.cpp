// One-dimensional convolutions as matrix products whose left operand is read in place: no unfolded copy, no cost for
// dilation, and a transposed convolution as one ordinary convolution whose columns are the phases of a step.
#include <cstring>
#include <memory>
#include <optional>

#include "ops/bind.h"
#include "ops/conv.h"
#include "pool.h"
#include "simd/depthwise.h"
#include "simd/rows.h"

namespace ptm {

void Input::copy(int64_t item, int64_t first, int64_t step, int64_t count, float* to, int64_t stride) const {
  for (int64_t n = 0; n < count; n++, to += stride) {
    const int64_t i = first + n * step;
    const float* from = data + item * batch_stride + i * row_stride;
    if (i < 0 || i >= length)
      std::memset(to, 0, channels * sizeof(float));
    else if (channel_stride == 1)
      std::memcpy(to, from, channels * sizeof(float));
    else
      for (int64_t c = 0; c < channels; c++) to[c] = from[c * channel_stride];
  }
}

const float* Input::rows(int64_t item, int64_t first, int64_t last, bool packed, int64_t& stride) const {
  stride = row_stride;
  const bool good_stride = packed ? row_stride == channels : !aliases(row_stride);
  if (first >= 0 && last <= length && (channel_stride == 1 || channels == 1) && good_stride)
    return data + item * batch_stride + first * row_stride;
  stride = packed || !aliases(channels) ? channels : channels + 16;
  float* to = scratch(rows_slot, (last - first) * stride + 64);
  copy(item, first, 1, last - first, to, stride);
  return to;
}

namespace {

std::vector<int64_t> tap_offsets(int64_t taps, int64_t step) {
  std::vector<int64_t> offsets(taps);
  for (int64_t k = 0; k < taps; k++) offsets[k] = k * step;
  return offsets;
}

// The length of the chains of sums. A transform of samples is often followed by a logarithm, which shows the errors of quiet
// bands, and shorter sums round less. PyTorch sums over lanes where there are too few columns for its tiles.
int64_t chain(int64_t channels, int64_t cols) { return cols < 16 ? 16 : channels == 1 ? 64 : 256; }

// Convolves into rows of y `y_stride` apart. panels: W, packed, taps · channels / groups deep, a block of columns per group.
void convolve(const Input& x, const Geometry& g, const float* panels, const float* bias, const float* add, float* y,
              int64_t y_batch, int64_t y_stride) {
  const int64_t per_group = x.channels / g.groups, group_cols = g.cols / g.groups, depth = g.taps * per_group;
  const Blocks blocks = cut(g.rows, group_cols, depth);
  // Without dilation a window is one stretch of memory, if rows follow each other without gaps.
  const bool packed = g.dilation == 1 && g.groups == 1 && !aliases(x.channels * g.stride);
  parallel(g.batch * g.groups * blocks.count(), [&](int64_t job) {
    const int64_t column = job % blocks.across * blocks.cols, group = job / blocks.across % g.groups;
    const int64_t row = job / blocks.across / g.groups % blocks.down * blocks.rows;
    const int64_t item = job / blocks.across / g.groups / blocks.down;
    const int64_t rows = smaller(blocks.rows, g.rows - row), cols = smaller(blocks.cols, group_cols - column);
    const int64_t first = row * g.stride - g.left, reach = (g.taps - 1) * g.dilation + 1;
    int64_t stride;
    const float* a = x.rows(item, first, first + (rows - 1) * g.stride + reach, packed, stride);
    const auto offsets = tap_offsets(packed ? 1 : g.taps, stride * g.dilation);
    const int64_t at = item * y_batch + row * y_stride + group * group_cols + column;
    const float* start = bias ? bias + group * group_cols + column : nullptr;
    if (add)
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) y[at + i * y_stride + j] = add[at + i * y_stride + j] + (start ? start[j] : 0.0f);
    multiply_rows({a + group * per_group, stride * g.stride, offsets.data(), (int64_t)offsets.size(),
                   packed ? depth : per_group, panels + group * panels_size(depth, group_cols) + column * depth,
                   y + at, y_stride, rows, cols, start, add != nullptr, chain(per_group, group_cols)});
  });
}

// Rows [first, first + rows) of a convolution, written to rows of `to`, where items are `batch` floats apart.
struct Part {
  int64_t first, rows;
  float* to;
  int64_t batch;
};

// Few rows and many weights [cols, taps · channels]: each job packs the columns that it multiplies, into its own cache.
bool few_rows(const Geometry& g, int64_t depth) { return g.groups == 1 && g.batch * g.rows < 1024 && depth * g.cols > 131072; }

void convolve_few(const Input& x, const Geometry& g, const float* w, const float* bias, const float* add,
                  const std::vector<Part>& parts, int64_t y_stride) {
  const int64_t C = x.channels, depth = g.taps * C, ld = aliases(C) ? C + 16 : C;
  const Part &head = parts.front(), &tail = parts.back();
  const int64_t begin = head.first * g.stride - g.left;
  const int64_t count = (tail.first + tail.rows - 1) * g.stride - g.left + (g.taps - 1) * g.dilation + 1 - begin;
  const std::unique_ptr<float[]> rows(new float[g.batch * count * ld]);
  parallel_ranges(count, 1 + 65536 / C, [&](int64_t first, int64_t end) {
    for (int64_t item = 0; item < g.batch; item++) x.copy(item, begin + first, 1, end - first, &rows[(item * count + first) * ld], ld);
  });
  const bool packed = g.dilation == 1 && ld == C; // a window is one stretch of memory
  const auto offsets = tap_offsets(packed ? 1 : g.taps, ld * g.dilation);
  const int64_t wide = panel_columns(smaller(131072 / depth, g.cols / 8)), blocks = ceil_div(g.cols, wide);
  parallel(blocks, [&](int64_t job) {
    const int64_t column = job * wide, cols = smaller(wide, g.cols - column);
    float* panels = scratch(panels_slot, panels_size(depth, cols));
    pack_panels(w + column * depth, 1, depth, depth, cols, 1, panels);
    const float* start = bias ? bias + column : nullptr;
    for (const Part& part : parts)
      for (int64_t item = 0; item < g.batch; item++) {
        float* to = part.to + item * part.batch + column;
        if (add)
          for (int64_t i = 0; i < part.rows; i++)
            for (int64_t j = 0; j < cols; j++)
              to[i * y_stride + j] = add[item * part.batch + i * y_stride + column + j] + (start ? start[j] : 0.0f);
        multiply_rows({&rows[(item * count + (part.first - head.first) * g.stride) * ld], g.stride * ld, offsets.data(), (int64_t)offsets.size(),
                       packed ? depth : C, panels, to, y_stride, part.rows, cols, start, add != nullptr, chain(C, g.cols)});
      }
  });
}

// So few rows that unfolding them costs less than packing the weights [cols, depth], which are read in place.
bool least_rows(const Geometry& g) { return g.groups == 1 && g.batch * g.rows <= 16; }

void convolve_least(const Input& x, const Geometry& g, const float* w, const float* bias, const float* add, float* y) {
  const int64_t depth = g.taps * x.channels, rows = g.batch * g.rows;
  const std::unique_ptr<float[]> windows(new float[rows * depth]);
  for (int64_t i = 0; i < rows; i++)
    x.copy(i / g.rows, i % g.rows * g.stride - g.left, g.dilation, g.taps, &windows[i * depth], x.channels);
  if (add || x.channels == 1)
    for (int64_t i = 0; i < rows * g.cols; i++) y[i] = (add ? add[i] : 0.0f) + (bias ? bias[i % g.cols] : 0.0f);
  if (x.channels == 1)
    return parallel_ranges(g.cols, ceil_div(65536, depth), [&](int64_t j, int64_t end) {
      exact_products(windows.get(), w + j * depth, y + j, g.cols, rows, end - j, depth);
    });
  sgemm(false, true, rows, g.cols, depth, 1, windows.get(), depth, w, depth, add ? 1 : 0, y, g.cols, add ? nullptr : bias);
}

void convolve_depthwise(const Input& x, const Geometry& g, const float* w, const float* bias, float* y, int64_t y_batch,
                        int64_t y_stride) {
  const int64_t chunk = larger(8, 65536 / (x.channels * g.taps) / 8 * 8), chunks = ceil_div(g.rows, chunk);
  parallel(g.batch * chunks, [&](int64_t job) {
    const int64_t item = job / chunks, row = job % chunks * chunk, rows = smaller(chunk, g.rows - row);
    const int64_t first = row * g.stride - g.left;
    int64_t stride;
    const float* a = x.rows(item, first, first + (rows - 1) * g.stride + (g.taps - 1) * g.dilation + 1, true, stride);
    depthwise(a, stride * g.stride, tap_offsets(g.taps, stride * g.dilation).data(), w, bias, y + item * y_batch + row * y_stride, y_stride, rows,
              x.channels, g.taps);
  });
}

class Conv1d : public Op {
 public:
  Conv1d(mx::Stream s, int64_t stride, int64_t left, int64_t right, int64_t dilation, int64_t groups, Activation activation, Names names)
      : Op(s, "conv1d",
           joined({{"stride", stride}, {"padding", std::vector<int64_t>{left, right}}, {"dilation", dilation}, {"groups", groups}},
                  activation.options()),
           std::move(names)),
        stride_(stride), left_(left), right_(right), dilation_(dilation), groups_(groups), activation_(activation) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    const int64_t reach = (inputs[1].shape(1) - 1) * dilation_ + 1;
    const int64_t length = (inputs[0].shape(1) + left_ + right_ - reach) / stride_ + 1;
    return {{inputs[0].shape(0), (int)length, inputs[1].shape(0)}};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& y = outputs[0];
    Arrays rest; // row-major
    for (size_t i = 1; i < inputs.size(); i++) rest.push_back(row_major(inputs[i]));
    auto data = [&](const char* name) -> const float* {
      const array* found = named(inputs, name);
      return found ? rest[found - &inputs[1]].data<float>() : nullptr;
    };
    const float *w = data("weight"), *bias = data("bias"), *add = data("add");
    auto& encoder = begin(inputs, y);
    const Geometry g{y.shape(0), y.shape(1), y.shape(2), inputs[1].shape(1), stride_, left_, dilation_, groups_};
    encoder.dispatch([x = Input(inputs[0]), w, bias, add, out = y.data<float>(), g, activation = activation_, n = (int64_t)y.size()] {
      convolve_best(x, g, w, bias, add, out);
      activation(out, n);
    });
  }

 private:
  static void convolve_best(const Input& x, const Geometry& g, const float* w, const float* bias, const float* add, float* out) {
    if (winograd_pays(x, g)) return convolve_winograd(x, g, w, bias, add, out);
    const int64_t per_group = x.channels / g.groups, depth = g.taps * per_group, group_cols = g.cols / g.groups;
    if (per_group == 1 && g.cols == g.groups && g.groups > 1) {
      convolve_depthwise(x, g, tap_major(w, g.cols, g.taps), bias, out, g.rows * g.cols, g.cols);
      return;
    }
    if (least_rows(g)) return convolve_least(x, g, w, bias, add, out);
    if (few_rows(g, depth)) return convolve_few(x, g, w, bias, add, {{0, g.rows, out, g.rows * g.cols}}, g.cols);
    const int64_t size = panels_size(depth, group_cols);
    float* panels = scratch(panels_slot, size * g.groups);
    for (int64_t group = 0; group < g.groups; group++)
      pack_panels(w + group * group_cols * depth, 1, depth, depth, group_cols, 1, panels + group * size);
    convolve(x, g, panels, bias, add, out, g.rows * g.cols, g.cols);
  }

  int64_t stride_, left_, right_, dilation_, groups_;
  Activation activation_;
};

class ConvTranspose1d : public Op {
 public:
  ConvTranspose1d(mx::Stream s, int64_t stride, int64_t padding, int64_t output_padding, int64_t groups)
      : Op(s, "conv_transpose1d",
           {{"stride", stride}, {"padding", padding}, {"output_padding", output_padding}, {"groups", groups}}),
        stride_(stride), padding_(padding), output_padding_(output_padding), groups_(groups) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    const int64_t length = (inputs[0].shape(1) - 1) * stride_ - 2 * padding_ + inputs[1].shape(1) + output_padding_;
    return {{inputs[0].shape(0), (int)length, inputs[1].shape(0)}};
  }

  // With q = padding + position = stride·u + r and k = stride·j + r: y[q] = bias + Σ_j W[:, stride·j + r] · x[u - j].
  // So row u of the result, its `stride` positions side by side, is an ordinary convolution of x with J = ⌈K / stride⌉
  // taps and stride · D columns; where stride does not divide K, the last positions have a tap less and are computed
  // separately. Rows that the padding or the end cuts through are computed in a buffer, and copied in part.
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& y = outputs[0];
    const auto w = row_major(inputs[1]), b = inputs.size() > 2 ? row_major(inputs[2]) : w;
    auto& encoder = begin(inputs, y);
    encoder.dispatch([x = Input(inputs[0]), w = w.data<float>(), out = y.data<float>(),
                      bias = inputs.size() > 2 ? b.data<float>() : nullptr, batch = (int64_t)y.shape(0),
                      length = (int64_t)y.shape(1), cols = (int64_t)y.shape(2), K = (int64_t)inputs[1].shape(1),
                      stride = stride_, padding = padding_, depthwise = groups_ > 1] {
      const int64_t most = ceil_div(K, stride), C = depthwise ? 1 : x.channels, wide = stride * cols;
      // W' [r, column, tap, channel] of positions [first, last), the taps backwards because a convolution correlates;
      // absent taps are zero.
      auto kernel_of = [&](int64_t first, int64_t last, int64_t J) {
        std::unique_ptr<float[]> kernel(new float[(last - first) * cols * J * C]);
        parallel((last - first) * cols, [&](int64_t i) {
          const int64_t r = first + i / cols, column = i % cols;
          for (int64_t j = 0; j < J; j++) {
            const int64_t k = (J - 1 - j) * stride + r;
            if (k < K)
              std::memcpy(&kernel[(i * J + j) * C], w + (column * K + k) * C, C * sizeof(float));
            else
              std::memset(&kernel[(i * J + j) * C], 0, C * sizeof(float));
          }
        });
        return kernel;
      };
      const int64_t u0 = padding / stride, u1 = (padding + length - 1) / stride + 1;
      const int64_t whole0 = ceil_div(padding, stride), whole1 = larger(whole0, (padding + length) / stride);

      // Whole rows go to the result, rows that the padding or the end cuts through to `aside`.
      std::vector<Part> parts;
      std::vector<float> aside(2 * batch * wide);
      float* next = aside.data();
      auto cut_row = [&](int64_t u) {
        parts.push_back({u, 1, next, wide});
        next += batch * wide;
      };
      if (whole0 > u0) cut_row(u0);
      if (whole1 > whole0) parts.push_back({whole0, whole1 - whole0, out + (whole0 * stride - padding) * cols, length * cols});
      if (u1 > whole1) cut_row(u1 - 1);

      if (depthwise) {
        for (int64_t r = 0; r < smaller(K, stride); r++) {
          const int64_t J = ceil_div(K - r, stride);
          const auto kernel = kernel_of(r, r + 1, J);
          const float* taps = tap_major(kernel.get(), cols, J);
          for (const Part& part : parts)
            convolve_depthwise(x, {batch, part.rows, cols, J, 1, J - 1 - part.first, 1, 1}, taps, bias, part.to + r * cols, part.batch, wide);
        }
      }
      auto run = [&](int64_t first, int64_t last, int64_t J) {
        const int64_t columns = (last - first) * cols;
        if (depthwise || columns == 0) return;
        const auto kernel = kernel_of(first, last, J);
        std::vector<float> start(bias ? columns : 0);
        for (size_t i = 0; i < start.size(); i++) start[i] = bias[i % cols];
        const float* starts = bias ? start.data() : nullptr;
        std::vector<Part> here = parts;
        for (Part& part : here) part.to += first * cols;
        if (const Geometry g{batch, u1 - u0, columns, J, 1, J - 1, 1, 1}; few_rows(g, J * C))
          return convolve_few(x, g, kernel.get(), starts, nullptr, here, wide);
        float* panels = scratch(panels_slot, panels_size(J * C, columns));
        pack_panels(kernel.get(), 1, J * C, J * C, columns, 1, panels);
        for (const Part& part : here)
          convolve(x, {batch, part.rows, columns, J, 1, J - 1 - part.first, 1, 1}, panels, starts, nullptr, part.to, part.batch, wide);
      };
      const int64_t full = K - (most - 1) * stride; // positions that have all taps
      run(0, full, most);
      if (most > 1) run(full, stride, most - 1);
      for (int64_t column = K * cols; column < wide; column++) // positions that no tap reaches
        for (const Part& part : parts)
          for (int64_t i = 0; i < batch * part.rows; i++)
            part.to[i / part.rows * part.batch + i % part.rows * wide + column] = bias ? bias[column % cols] : 0;
      for (const Part& part : parts)
        if (part.to >= aside.data() && part.to < next)
          for (int64_t b = 0; b < batch; b++)
            for (int64_t q = larger(part.first * stride, padding); q < smaller((part.first + 1) * stride, padding + length); q++)
              std::memcpy(out + (b * length + q - padding) * cols, part.to + b * wide + (q - part.first * stride) * cols, cols * sizeof(float));
    });
  }

 private:
  int64_t stride_, padding_, output_padding_, groups_;
};

void check(bool fits, const char* name, const array& x, const array& w, const std::optional<array>& bias) {
  if (x.ndim() != 3 || w.ndim() != 3 || !fits || x.size() == 0 || w.size() == 0 ||
      (bias && (bias->ndim() != 1 || bias->shape(0) != w.shape(0)))) {
    std::ostringstream message;
    message << name << ": x " << x.shape() << " and weight " << w.shape() << " do not fit, or have no result";
    throw std::invalid_argument(message.str());
  }
}

std::optional<array> finish(const std::shared_ptr<Op>& op, const array& x, const array& w, const std::optional<array>& bias,
                            const std::optional<array>& add, mx::Stream s) {
  Arrays inputs{as_float32(x, s), as_float32(w, s)};
  if (bias) inputs.push_back(as_float32(*bias, s));
  if (add) inputs.push_back(as_float32(*add, s));
  const auto shape = op->output_shapes(inputs)[0];
  if (shape[1] < 1) check(false, op->name(), x, w, bias);
  return mx::astype(array(shape, mx::float32, op, inputs), x.dtype(), s);
}

using Padding = std::variant<int64_t, std::pair<int64_t, int64_t>>;

std::optional<array> conv1d(const array& x, const array& w, const std::optional<array>& bias, int64_t stride,
                            const Padding& both, int64_t dilation, int64_t groups, const std::optional<array>& add,
                            std::optional<double> slope, double floor, mx::StreamOrDevice where) {
  if (!supported({x, w}) || (add && (groups > 1 || !supported({*add})))) return {};
  const auto padding = both.index() == 1 ? std::get<1>(both) : std::pair{std::get<0>(both), std::get<0>(both)};
  check(x.ndim() == 3 && w.ndim() == 3 && groups > 0 && stride > 0 && dilation > 0 && padding.first >= 0 &&
            padding.second >= 0 && w.shape(0) % groups == 0 && x.shape(2) == w.shape(2) * groups &&
            x.shape(1) + padding.first + padding.second > (w.shape(1) - 1) * dilation,
        "conv1d", x, w, bias);
  const auto s = mx::to_stream(where);
  Names names{"x", "weight"};
  if (bias) names.push_back("bias");
  if (add) names.push_back("add");
  const auto op = std::make_shared<Conv1d>(s, stride, padding.first, padding.second, dilation, groups, Activation{slope, floor},
                                           std::move(names));
  if (add && add->shape() != op->output_shapes({x, w})[0])
    throw std::invalid_argument("conv1d: add must have the shape of the result");
  return finish(op, x, w, bias, add, s);
}

std::optional<array> conv_transpose1d(const array& x, const array& w, const std::optional<array>& bias, int64_t stride,
                                      int64_t padding, int64_t output_padding, int64_t groups, mx::StreamOrDevice where) {
  if (!supported({x, w}) || (groups > 1 && w.ndim() == 3 && (w.shape(2) != 1 || w.shape(0) != groups))) return {};
  check(x.ndim() == 3 && w.ndim() == 3 && groups > 0 && stride > 0 && padding >= 0 && output_padding >= 0 &&
            x.shape(2) == w.shape(2) * groups,
        "conv_transpose1d", x, w, bias);
  const auto s = mx::to_stream(where);
  return finish(std::make_shared<ConvTranspose1d>(s, stride, padding, output_padding, groups), x, w, bias, {}, s);
}

} // namespace

void bind_conv1d(nb::module_& m) {
  m.def("conv1d", &conv1d, "x"_a, "weight"_a, "bias"_a = nb::none(), nb::kw_only(), "stride"_a = 1,
        "padding"_a = 0, "dilation"_a = 1, "groups"_a = 1, "add"_a = nb::none(), "slope"_a = nb::none(),
        "floor"_a = no_floor, "stream"_a = nb::none());
  m.def("conv_transpose1d", &conv_transpose1d, "x"_a, "weight"_a, "bias"_a = nb::none(), nb::kw_only(), "stride"_a = 1,
        "padding"_a = 0, "output_padding"_a = 0, "groups"_a = 1, "stream"_a = nb::none());
}

} // namespace ptm
