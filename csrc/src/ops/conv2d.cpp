// Two-dimensional convolution: each row of the result is a matrix product whose left operand is read in place.
#include <cstring>
#include <memory>
#include <optional>
#include <sstream>

#include "matmul.h"
#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"
#include "simd/depthwise.h"

namespace ptm {

namespace {

constexpr int64_t short_line = 28; // results: two tiles
constexpr int64_t gathered_floats = 1 << 22; // 16 MiB

using Pair = std::pair<int64_t, int64_t>;
using OneOrTwo = std::variant<int64_t, Pair>;

Pair two(const OneOrTwo& value) {
  return value.index() == 1 ? std::get<1>(value) : Pair{std::get<0>(value), std::get<0>(value)};
}

struct Plan {
  int64_t batch, height, width, channels, out_height, out_width, cols, kernel_h, kernel_w, groups;
  Pair stride, padding, dilation;
  bool one_by_one() const { return kernel_h == 1 && kernel_w == 1 && stride == Pair{1, 1} && padding == Pair{0, 0}; }
};

// The windows of the results `first` … `last` - 1, counted through the whole batch, as rows of taps × channels.
void gather(const Plan& p, const float* x, int64_t first, int64_t last, float* to) {
  for (int64_t place = first; place < last; place++) {
    const int64_t line = place / p.out_width, item = line / p.out_height;
    const int64_t top = line % p.out_height * p.stride.first - p.padding.first;
    const int64_t left = place % p.out_width * p.stride.second - p.padding.second;
    for (int64_t i = 0; i < p.kernel_h; i++)
      for (int64_t j = 0; j < p.kernel_w; j++, to += p.channels) {
        const int64_t y = top + i * p.dilation.first, column = left + j * p.dilation.second;
        if (y >= 0 && y < p.height && column >= 0 && column < p.width)
          std::memcpy(to, x + ((item * p.height + y) * p.width + column) * p.channels, p.channels * sizeof(float));
        else
          std::memset(to, 0, p.channels * sizeof(float));
      }
  }
}

// One product for many lines of the result: a line shorter than a few tiles would be a slow product of its own.
void convolve_gathered(const Plan& p, const float* x, const float* w, const float* bias, float* y) {
  const int64_t depth = p.kernel_h * p.kernel_w * p.channels, places = p.batch * p.out_height * p.out_width;
  const bool in_place = p.one_by_one();
  const int64_t step = in_place ? places : larger(512, gathered_floats / depth);
  const std::unique_ptr<float[]> rows(new float[in_place ? 0 : smaller(step, places) * depth]); // not set to zero
  for (int64_t first = 0; first < places; first += step) {
    const int64_t count = smaller(step, places - first);
    if (!in_place)
      parallel_ranges(count, 1 + 16384 / depth, [&](int64_t begin, int64_t end) {
        gather(p, x, first + begin, first + end, rows.get() + begin * depth);
      });
    sgemm(false, true, count, p.cols, depth, 1, in_place ? x : rows.get(), depth, w, depth, 0, y + first * p.cols, p.cols, bias);
  }
}

void convolve(const Plan& p, const float* x, const float* w, const float* bias, float* y) {
  if (p.groups == 1 && (p.one_by_one() || p.out_width < short_line)) return convolve_gathered(p, x, w, bias, y);
  const int64_t per_group = p.channels / p.groups, group_cols = p.cols / p.groups, taps = p.kernel_h * p.kernel_w;
  const int64_t depth = taps * per_group;
  const bool depthwise_one = per_group == 1 && group_cols == 1 && p.groups > 1;
  const float* weights;
  const int64_t group_size = panels_size(depth, group_cols);
  if (depthwise_one) {
    weights = tap_major(w, p.cols, taps);
  } else {
    float* panels = scratch(panels_slot, group_size * p.groups);
    for (int64_t g = 0; g < p.groups; g++)
      pack_panels(w + g * group_cols * depth, 1, depth, depth, group_cols, 1, panels + g * group_size);
    weights = panels;
  }
  // Without dilation a window's row is one stretch of memory.
  const bool packed = p.dilation.second == 1 && p.groups == 1;
  const int64_t reach_h = (p.kernel_h - 1) * p.dilation.first + 1, reach_w = (p.kernel_w - 1) * p.dilation.second + 1;
  const int64_t used_w = larger((p.out_width - 1) * p.stride.second + reach_w, p.padding.second + p.width);
  const bool padded = p.padding.first || p.padding.second;
  const int64_t row = (padded ? used_w : p.width) * p.channels;
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i < p.kernel_h; i++)
    for (int64_t j = 0; j < (packed ? 1 : p.kernel_w); j++)
      offsets.push_back(i * p.dilation.first * row + j * p.dilation.second * p.channels);

  const int64_t lines = larger(1, 65536 / (p.out_width * p.cols)), chunks = ceil_div(p.out_height, lines);
  parallel(p.batch * chunks, [&](int64_t job) {
    const int64_t item = job / chunks, first = job % chunks * lines, last = smaller(first + lines, p.out_height);
    const float* image = x + item * p.height * p.width * p.channels;
    const int64_t top = first * p.stride.first - p.padding.first;
    const float* from = image + top * row; // of the first line's window
    if (padded) {
      const int64_t count = (last - 1 - first) * p.stride.first + reach_h;
      float* copy = scratch(rows_slot, count * row);
      std::memset(copy, 0, count * row * sizeof(float));
      for (int64_t i = 0; i < count; i++)
        if (top + i >= 0 && top + i < p.height)
          std::memcpy(copy + i * row + p.padding.second * p.channels, image + (top + i) * p.width * p.channels,
                      p.width * p.channels * sizeof(float));
      from = copy;
    }
    for (int64_t line = first; line < last; line++, from += p.stride.first * row) {
      float* to = y + (item * p.out_height + line) * p.out_width * p.cols;
      if (depthwise_one) {
        depthwise(from, p.stride.second * p.channels, offsets.data(), weights, bias, to, p.cols, p.out_width, p.channels, taps);
        continue;
      }
      for (int64_t g = 0; g < p.groups; g++)
        multiply_rows({from + g * per_group, p.stride.second * p.channels, offsets.data(), (int64_t)offsets.size(),
                       packed ? p.kernel_w * p.channels : per_group, weights + g * group_size, to + g * group_cols, p.cols,
                       p.out_width, group_cols, bias ? bias + g * group_cols : nullptr, false});
    }
  });
}

class Conv2d : public Op {
 public:
  Conv2d(mx::Stream s, Pair stride, Pair padding, Pair dilation, int64_t groups, Activation activation)
      : Op(s, "conv2d",
           joined({{"stride", std::vector<int64_t>{stride.first, stride.second}},
            {"padding", std::vector<int64_t>{padding.first, padding.second}},
            {"dilation", std::vector<int64_t>{dilation.first, dilation.second}},
            {"groups", groups}}, activation.options())),
        stride_(stride), padding_(padding), dilation_(dilation), groups_(groups), activation_(activation) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    auto size = [](int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
      const int64_t room = in + 2 * padding - (kernel - 1) * dilation - 1;
      return room < 0 ? 0 : (int)(room / stride + 1);
    };
    const auto &x = inputs[0].shape(), &w = inputs[1].shape();
    return {{x[0], (int)size(x[1], w[1], stride_.first, padding_.first, dilation_.first),
             (int)size(x[2], w[2], stride_.second, padding_.second, dilation_.second), w[0]}};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& y = outputs[0];
    const auto x = row_major(inputs[0]), w = row_major(inputs[1]), b = inputs.size() > 2 ? row_major(inputs[2]) : w;
    auto& encoder = begin(inputs, y);
    const Plan plan{y.shape(0), x.shape(1), x.shape(2), x.shape(3), y.shape(1), y.shape(2), y.shape(3),
                    w.shape(1), w.shape(2), groups_, stride_, padding_, dilation_};
    encoder.dispatch([plan, x = x.data<float>(), w = w.data<float>(), y = y.data<float>(),
                      bias = inputs.size() > 2 ? b.data<float>() : nullptr, activation = activation_, n = (int64_t)outputs[0].size()] {
      convolve(plan, x, w, bias, y);
      activation(y, n);
    });
  }

 private:
  Pair stride_, padding_, dilation_;
  int64_t groups_;
  Activation activation_;
};

std::optional<array> conv2d(const array& x, const array& w, const std::optional<array>& bias, const OneOrTwo& stride,
                            const OneOrTwo& padding, const OneOrTwo& dilation, int64_t groups, std::optional<double> slope,
                            double floor, mx::StreamOrDevice where) {
  if (!supported({x, w})) return {};
  const auto [sh, sw] = two(stride);
  const auto [ph, pw] = two(padding);
  const auto [dh, dw] = two(dilation);
  const bool fits = x.ndim() == 4 && w.ndim() == 4 && groups > 0 && sh > 0 && sw > 0 && ph >= 0 && pw >= 0 && dh > 0 &&
                    dw > 0 && w.shape(0) % groups == 0 && x.shape(3) == w.shape(3) * groups &&
                    (!bias || (bias->ndim() == 1 && bias->shape(0) == w.shape(0)));
  const auto s = mx::to_stream(where);
  const auto op = std::make_shared<Conv2d>(s, Pair{sh, sw}, Pair{ph, pw}, Pair{dh, dw}, groups, Activation{slope, floor});
  const auto shape = fits ? op->output_shapes({x, w})[0] : Shape{0, 0, 0, 0};
  if (shape[1] < 1 || shape[2] < 1) {
    std::ostringstream message;
    message << "conv2d: x " << x.shape() << " and weight " << w.shape() << " do not fit, or have no result";
    throw std::invalid_argument(message.str());
  }
  Arrays inputs{as_float32(x, s), as_float32(w, s)};
  if (bias) inputs.push_back(as_float32(*bias, s));
  return mx::astype(array(shape, mx::float32, op, inputs), x.dtype(), s);
}

} // namespace

void bind_conv2d(nb::module_& m) {
  m.def("conv2d", &conv2d, "x"_a, "weight"_a, "bias"_a = nb::none(), nb::kw_only(), "stride"_a = 1, "padding"_a = 0,
        "dilation"_a = 1, "groups"_a = 1, "slope"_a = nb::none(), "floor"_a = no_floor, "stream"_a = nb::none());
}

} // namespace ptm
