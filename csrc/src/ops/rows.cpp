// Layer norm, RMS norm and softmax, over the last axis.
#include "simd/rows.h"

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

constexpr int64_t job_elements = 16384;

using Optional = std::optional<array>;

class NormRows : public Op {
 public:
  NormRows(mx::Stream s, double eps, bool center, Names names)
      : Op(s, center ? "layer_norm" : "rms_norm", {{"eps", eps}}, std::move(names)), eps_(eps), center_(center) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  // weight and bias are [D], or [B, 1, …, D] for one row of them to each x[b].
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& encoder = begin_in_place(inputs, outputs[0]);
    const Arrays dense = row_major(inputs);
    const array& x = dense[0];
    const int64_t size = x.shape(-1), rows = x.size() / size;
    // How many rows use one row of a parameter: all of them, unless it differs by batch.
    auto share = [&](const array* p) { return p ? rows / ((int64_t)p->size() / size) : rows; };
    const array *w = named(dense, "weight"), *b = named(dense, "bias");
    const float *weight = w ? w->data<float>() : nullptr, *bias = b ? b->data<float>() : nullptr;
    const int64_t weight_share = share(w), bias_share = share(b);
    encoder.dispatch([=, eps = eps_, center = center_, dtype = storage(x), bytes = (int64_t)x.itemsize() * size,
                      in = x.data<char>(), out = outputs[0].data<char>()] {
      const int64_t together = weight_share < bias_share ? weight_share : bias_share;
      parallel_ranges(rows, 1 + job_elements / size, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin, stop; row < end; row = stop) {
          stop = std::min(end, (row / together + 1) * together);
          norm_rows(dtype, in + row * bytes, weight ? weight + row / weight_share * size : nullptr,
                    bias ? bias + row / bias_share * size : nullptr, out + row * bytes, stop - row, size, eps, center);
        }
      });
    });
  }

 private:
  float eps_;
  bool center_;
};

void check(const char* name, const Optional& p, const array& x) {
  if (!p) return;
  const int D = x.shape(-1);
  const bool shared = p->ndim() == 1, batched = p->ndim() == x.ndim() && (p->shape(0) == 1 || p->shape(0) == x.shape(0)) &&
      (int64_t)p->size() == (int64_t)p->shape(0) * D;
  if (p->ndim() < 1 || p->shape(-1) != D || (!shared && !batched))
    throw std::invalid_argument(std::string(name) + " must be [D] or [B, 1, …, D] for x [B, …, D]");
}

Optional norm(const array& x, const Optional& weight, const Optional& bias, double eps, bool center, mx::StreamOrDevice where) {
  if (!supported({x}) || x.ndim() < 1) return {};
  check("weight", weight, x);
  check("bias", bias, x);
  const auto s = mx::to_stream(where);
  Arrays inputs{x};
  Names names{"x"};
  if (weight) inputs.push_back(as_float32(*weight, s)), names.push_back("weight");
  if (bias) inputs.push_back(as_float32(*bias, s)), names.push_back("bias");
  return array(x.shape(), x.dtype(), std::make_shared<NormRows>(s, eps, center, std::move(names)), std::move(inputs));
}

class SoftmaxRows : public Op {
 public:
  SoftmaxRows(mx::Stream s, double scale, Names names) : Op(s, "softmax", {{"scale", scale}}, std::move(names)), scale_(scale) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  // inputs: x, and the mask if there is one; it broadcasts to x, and its last axis is as long as that of x.
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& encoder = begin_in_place(inputs, outputs[0]);
    const Arrays dense = row_major(inputs);
    const array& x = dense[0];
    const int64_t size = x.shape(-1), rows = x.size() / size;
    Shape shape(x.shape().begin(), x.shape().end() - 1);
    mx::Strides strides(shape.size(), 0); // of the mask, by the leading axes of x
    const float* mask = nullptr;
    if (dense.size() > 1) {
      mask = dense[1].data<float>();
      for (int i = -2, axis = (int)shape.size() - 1; axis >= 0; i--, axis--)
        if (-i <= (int)dense[1].ndim() && dense[1].shape(i) > 1) strides[axis] = dense[1].strides(i);
    }
    encoder.dispatch([=, scale = scale_, dtype = storage(x), bytes = (int64_t)x.itemsize() * size, in = x.data<char>(),
                      out = outputs[0].data<char>()] {
      parallel_ranges(rows, 1 + job_elements / size, [&](int64_t begin, int64_t end) {
        if (!mask) return softmax_rows(dtype, in + begin * bytes, scale, nullptr, out + begin * bytes, end - begin, size);
        for (int64_t row = begin; row < end; row++) {
          int64_t offset = 0, rest = row;
          for (int axis = (int)shape.size() - 1; axis >= 0; rest /= shape[axis], axis--) offset += rest % shape[axis] * strides[axis];
          softmax_rows(dtype, in + row * bytes, scale, mask + offset, out + row * bytes, 1, size);
        }
      });
    });
  }

 private:
  float scale_;
};

Optional softmax(const array& x, int axis, double scale, const Optional& mask, mx::StreamOrDevice where) {
  if (!supported({x}) || x.ndim() < 1 || (axis != -1 && axis != (int)x.ndim() - 1)) return {};
  if (mask && (!supported({*mask}) || mx::broadcast_shapes(mask->shape(), x.shape()) != x.shape())) return {};
  const auto s = mx::to_stream(where);
  Arrays inputs{x};
  Names names{"x"};
  if (mask) {
    auto full = mask->ndim() ? mask->shape() : Shape{1};
    full.back() = x.shape(-1);
    inputs.push_back(as_float32(mx::broadcast_to(*mask, full, s), s));
    names.push_back("mask");
  }
  return array(x.shape(), x.dtype(), std::make_shared<SoftmaxRows>(s, scale, std::move(names)), std::move(inputs));
}

class Power : public Op {
 public:
  explicit Power(mx::Stream s) : Op(s, "power") {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() /= 2;
    return {shape};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const auto x = row_major(inputs[0]);
    auto& encoder = begin(inputs, outputs[0]);
    const int64_t size = outputs[0].shape(-1), rows = outputs[0].size() / size;
    encoder.dispatch([=, in = x.data<float>(), out = outputs[0].data<float>()] {
      parallel_ranges(rows, 1 + job_elements / size, [&](int64_t begin, int64_t end) {
        power_rows(in + begin * 2 * size, out + begin * size, end - begin, size);
      });
    });
  }
};

Optional power(const array& x, mx::StreamOrDevice where) {
  if (x.ndim() < 1 || x.shape(-1) % 2) throw std::invalid_argument("power: the last axis must be even");
  if (!supported({x})) return {};
  const auto s = mx::to_stream(where);
  const auto op = std::make_shared<Power>(s);
  const Arrays inputs{as_float32(x, s)};
  return mx::astype(array(op->output_shapes(inputs)[0], mx::float32, op, inputs), x.dtype(), s);
}

} // namespace

void bind_rows(nb::module_& m) {
  m.def("layer_norm", [](const array& x, const Optional& weight, const Optional& bias, double eps, mx::StreamOrDevice s) {
          return norm(x, weight, bias, eps, true, s);
        }, "x"_a, "weight"_a.none(), "bias"_a.none(), "eps"_a, "stream"_a = nb::none());
  m.def("rms_norm", [](const array& x, const Optional& weight, double eps, mx::StreamOrDevice s) {
          return norm(x, weight, std::nullopt, eps, false, s);
        }, "x"_a, "weight"_a.none(), "eps"_a, "stream"_a = nb::none());
  m.def("power", &power, "x"_a, "stream"_a = nb::none());
  m.def("softmax", &softmax, "x"_a, "axis"_a = -1, nb::kw_only(), "scale"_a = 1.0, "mask"_a = nb::none(),
        "stream"_a = nb::none());
}

} // namespace ptm
