// Norms with one statistic for each channel (or group of channels) over time: instance norm, AdaIN, group norm.
#include "simd/channels.h"

#include <cmath>
#include <memory>

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

using Optional = std::optional<array>;

class ChannelNorm : public Op {
 public:
  ChannelNorm(mx::Stream s, const char* name, Options options, Names names, double eps, int groups, Then then, double slope)
      : Op(s, name, std::move(options), std::move(names)), eps_(eps), groups_(groups), then_(then), slope_(slope) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  // x is [B, L, D]; weight and bias, if any, are [D] or [1 or B, 1, D], and snake's alpha is [D].
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& encoder = begin_in_place(inputs, outputs[0]);
    const Arrays dense = row_major(inputs);
    const array& x = dense[0];
    const int64_t batch = x.shape(0), rows = x.shape(1), size = x.shape(2), chunk = std::clamp<int64_t>(32768 / size, 16, 256);
    auto data = [&](const array* p) { return p ? p->data<float>() : nullptr; };
    auto stride = [&](const array* p) { return p && p->ndim() == 3 && p->shape(0) > 1 ? size : 0; };
    const array *w = named(dense, "weight"), *b = named(dense, "bias");
    const float *weight = data(w), *bias = data(b), *alpha = data(named(dense, "alpha"));
    const int64_t weight_stride = stride(w), bias_stride = stride(b);
    encoder.dispatch([=, eps = eps_, groups = groups_, then = then_, slope = slope_, dtype = storage(x), bytes = (int64_t)x.itemsize() * size, in = x.data<char>(),
                      out = outputs[0].data<char>()] {
      const int64_t chunks = (rows + chunk - 1) / chunk, wide = size / groups, together = (63 / wide + 1) * wide;
      const std::unique_ptr<float[]> moments(new float[batch * chunks * 3 * size]), terms(new float[batch * 3 * size]);
      parallel(batch * chunks, [&](int64_t job) {
        const int64_t b = job / chunks, first = job % chunks * chunk;
        float* found = moments.get() + job * 3 * size;
        channel_moments(dtype, in + (b * rows + first) * bytes, std::min(chunk, rows - first), size, found, found + size,
                        found + 2 * size);
      });
      const std::unique_ptr<double[]> joined(new double[2 * batch * size]);
      const int64_t parts = (size + together - 1) / together; // of the channels: whole groups
      parallel(batch * parts, [&](int64_t job) {
        const int64_t b = job / parts, begin = job % parts * together, end = std::min(begin + together, size);
        double *mean = joined.get() + 2 * b * size, *square = mean + size;
        channel_join(moments.get() + b * chunks * 3 * size, chunks, rows, chunk, size, begin, end, mean, square);
        float *center = terms.get() + b * 3 * size, *factor = center + size, *shift = factor + size;
        for (int64_t group = begin; group < end; group += wide) {
          double middle = 0, spread = 0;
          for (int64_t d = group; d < group + wide; d++) middle += mean[d] / wide;
          for (int64_t d = group; d < group + wide; d++) spread += square[d] + rows * (mean[d] - middle) * (mean[d] - middle);
          const double scale = 1 / std::sqrt(std::max(spread, 0.0) / (rows * wide) + eps);
          for (int64_t d = group; d < group + wide; d++) {
            const double f = scale * (weight ? weight[b * weight_stride + d] : 1);
            center[d] = (float)middle;
            factor[d] = (float)f;
            const double rest = (middle - center[d]) * f; // dropped for a weight of Inf, where it could make NaN
            shift[d] = (float)((bias ? bias[b * bias_stride + d] : 0) - (std::isinf(f) ? 0 : rest));
          }
        }
      });
      parallel(batch * chunks, [&](int64_t job) {
        const int64_t b = job / chunks, first = job % chunks * chunk, offset = (b * rows + first) * bytes;
        const float* center = terms.get() + b * 3 * size;
        channel_apply(dtype, in + offset, center, center + size, center + 2 * size, then, slope, alpha,
                      out + offset, std::min(chunk, rows - first), size);
      });
    });
  }

 private:
  float eps_;
  int64_t groups_;
  Then then_;
  float slope_;
};

array parameter(const char* name, const array& p, const array& x, mx::Stream s) {
  const int D = x.shape(2);
  const bool shared = p.ndim() == 1, batched = p.ndim() == 3 && p.shape(1) == 1 && (p.shape(0) == 1 || p.shape(0) == x.shape(0));
  if (p.ndim() < 1 || p.shape(-1) != D || (!shared && !batched))
    throw std::invalid_argument(std::string(name) + " must be [D] or [B, 1, D] for x [B, L, D]");
  return as_float32(p, s);
}

Optional channel_norm(const char* name, const array& x, double eps, const Optional& weight, const Optional& bias,
                      mx::StreamOrDevice where, int groups = 0, const Optional& alpha = {}, std::optional<double> slope = {}) {
  if (!supported({x}) || x.ndim() != 3) return {};
  const int D = x.shape(2);
  Options options{{"eps", eps}};
  if (groups < 0 || (groups && D % groups)) throw std::invalid_argument("D must be a multiple of groups");
  if (groups) options.push_back({"groups", (int64_t)groups});
  if (slope) options.push_back({"negative_slope", *slope});
  const auto s = mx::to_stream(where);
  Arrays inputs{x};
  Names names{"x"};
  if (weight) inputs.push_back(parameter("weight", *weight, x, s)), names.push_back("weight");
  if (bias) inputs.push_back(parameter("bias", *bias, x, s)), names.push_back("bias");
  if (alpha) {
    if (alpha->shape() != Shape{D}) throw std::invalid_argument("alpha must be [D] for x [B, L, D]");
    inputs.push_back(as_float32(*alpha, s)), names.push_back("alpha");
  }
  const Then then = alpha ? Then::snake : slope ? Then::leaky_relu : Then::nothing;
  return array(x.shape(), x.dtype(),
               std::make_shared<ChannelNorm>(s, name, std::move(options), std::move(names), eps, groups ? groups : D, then,
                                             slope.value_or(0)),
               std::move(inputs));
}

} // namespace

void bind_channels(nb::module_& m) {
  m.def("group_norm", [](const array& x, int groups, const Optional& weight, const Optional& bias, double eps,
                         mx::StreamOrDevice s) {
          if (groups < 1) throw std::invalid_argument("groups must be positive");
          return channel_norm("group_norm", x, eps, weight, bias, s, groups);
        }, "x"_a, "groups"_a, "weight"_a.none(), "bias"_a.none(), "eps"_a, "stream"_a = nb::none());
  m.def("instance_norm", [](const array& x, double eps, const Optional& weight, const Optional& bias, mx::StreamOrDevice s) {
          return channel_norm("instance_norm", x, eps, weight, bias, s);
        }, "x"_a, "eps"_a, "weight"_a = nb::none(), "bias"_a = nb::none(), "stream"_a = nb::none());
  m.def("instance_norm_snake", [](const array& x, double eps, const array& weight, const array& bias, const array& alpha,
                                  mx::StreamOrDevice s) {
          return channel_norm("instance_norm_snake", x, eps, weight, bias, s, 0, alpha);
        }, "x"_a, "eps"_a, "weight"_a, "bias"_a, "alpha"_a, "stream"_a = nb::none());
  m.def("instance_norm_leaky_relu", [](const array& x, double eps, const array& weight, const array& bias, double slope,
                                       mx::StreamOrDevice s) {
          return channel_norm("instance_norm_leaky_relu", x, eps, weight, bias, s, 0, {}, slope);
        }, "x"_a, "eps"_a, "weight"_a, "bias"_a, "negative_slope"_a, "stream"_a = nb::none());
}

} // namespace ptm
