// x Wᵀ + bias with a weight stored as float32, float16, bfloat16, or 8 or 4 bits in MLX's affine groups.
#include <memory>
#include <optional>

#include "matmul.h"
#include "ops/bind.h"
#include "ops/op.h"
#include "ops/product.h"
#include "pool.h"

namespace ptm {

namespace {

constexpr int64_t conversion = 32768; // numbers that one job converts

void multiply(const float* x, const RowWeights& w, float* y, int64_t rows, int64_t columns, int64_t depth, const float* bias,
              bool rounds) {
  const int64_t part = Product::rows_at_once(w, rows, depth);
  if (part < rows) {
    for (int64_t top = 0; top < rows; top += part)
      multiply(x + top * depth, w, y + top * columns, smaller(part, rows - top), columns, depth, bias, rounds);
    return;
  }
  const Product product(x, w, rows, columns, depth, rounds);
  if (product.is_sgemm())
    return sgemm(false, true, rows, columns, depth, 1, x, depth, static_cast<const float*>(w.data), w.row_bytes / 4, 0, y,
                 columns, bias);
  const int64_t high = product.job_rows(), wide = product.job_columns(), across = ceil_div(columns, wide);
  parallel(ceil_div(rows, high) * across, [&](int64_t job) {
    const int64_t top = job / across * high, first = job % across * wide;
    product.multiply(top, smaller(high, rows - top), first, smaller(wide, columns - first), y + top * columns + first, columns,
                     bias ? bias + first : nullptr);
  });
}

// An array of floats in memory.
struct Stored {
  Dtype dtype;
  char* data;
  int64_t bytes; // an element
  explicit Stored(const array& x) : dtype(storage(x)), data(const_cast<char*>(x.data<char>())), bytes(x.itemsize()) {}
};

// The same for x, y and bias of any supported dtype; x and y have the same one.
void multiply(const Stored& x, const RowWeights& w, const Stored& y, int64_t rows, int64_t columns, int64_t depth,
              const std::optional<Stored>& bias, const Activation& activation = {}, bool rounds = false) {
  using Space = std::unique_ptr<float[]>;
  auto wide = [](const Stored& from, int64_t n, Space& space) {
    if (from.dtype == Dtype::float32) return (const float*)from.data;
    space.reset(new float[n]);
    parallel_ranges(n, conversion, [&](int64_t begin, int64_t end) {
      widen_rows({from.dtype, from.data + begin * from.bytes, 0}, 0, 1, end - begin, &space[begin]);
    });
    return (const float*)space.get();
  };
  Space x_space, bias_space;
  const float *from = wide(x, rows * depth, x_space), *start = bias ? wide(*bias, columns, bias_space) : nullptr;
  if (y.dtype == Dtype::float32) {
    multiply(from, w, (float*)y.data, rows, columns, depth, start, rounds);
    return activation((float*)y.data, rows * columns);
  }
  const Space sums(new float[rows * columns]);
  multiply(from, w, sums.get(), rows, columns, depth, start, rounds);
  activation(sums.get(), rows * columns);
  parallel_ranges(rows * columns, conversion, [&](int64_t begin, int64_t end) {
    narrow(y.dtype, &sums[begin], end - begin, y.data + begin * y.bytes);
  });
}

class Linear : public Op {
 public:
  Linear(mx::Stream s, Activation activation) : Op(s, "linear", activation.options()), activation_(activation) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() = inputs[1].shape(0);
    return {shape};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const auto x = row_major(inputs[0]), w = row_major(inputs[1]), b = inputs.size() > 2 ? row_major(inputs[2]) : x;
    auto& encoder = begin(inputs, outputs[0]);
    const int64_t depth = w.shape(1), columns = w.shape(0), rows = x.size() / depth;
    const RowWeights weights{storage(w), w.data<void>(), depth * (int64_t)w.itemsize()};
    const auto bias = inputs.size() > 2 ? std::optional(Stored(b)) : std::nullopt;
    encoder.dispatch([x = Stored(x), weights, y = Stored(outputs[0]), rows, columns, depth, bias, activation = activation_] {
      multiply(x, weights, y, rows, columns, depth, bias, activation);
    });
  }

 private:
  Activation activation_;
};

class QuantizedMatmul : public Op {
 public:
  QuantizedMatmul(mx::Stream s, int64_t group_size, int64_t bits, bool has_bias, bool rounds)
      : Op(s, "quantized_matmul", options(group_size, bits, rounds), names(has_bias)), group_(group_size), bits_(bits), rounds_(rounds) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() = inputs[1].shape(0);
    return {shape};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const Arrays dense = row_major(inputs);
    const array &x = dense[0], &w = dense[1], &scales = dense[2], &biases = dense[3], *b = named(dense, "bias");
    auto& encoder = begin(inputs, outputs[0]);
    const int64_t depth = x.shape(-1), columns = w.shape(0), rows = x.size() / depth;
    const RowWeights weights{storage(scales), w.data<void>(), depth * bits_ / 8, (int)bits_,
                             scales.data<void>(), biases.data<void>(), group_};
    const auto bias = b ? std::optional(Stored(*b)) : std::nullopt;
    encoder.dispatch([x = Stored(x), weights, y = Stored(outputs[0]), rows, columns, depth, bias, rounds = rounds_] {
      multiply(x, weights, y, rows, columns, depth, bias, {}, rounds);
    });
  }

 private:
  static Options options(int64_t group_size, int64_t bits, bool rounds) {
    Options out{{"transpose", true}, {"group_size", group_size}, {"bits", bits}};
    if (rounds) out.push_back({"x_bits", int64_t(8)});
    return out;
  }
  static Names names(bool has_bias) {
    Names out{"x", "w", "scales", "biases"};
    if (has_bias) out.push_back("bias");
    return out;
  }
  int64_t group_, bits_;
  bool rounds_;
};

std::optional<array> linear(const array& x, const array& weight, const std::optional<array>& bias, std::optional<double> slope,
                            double floor, mx::StreamOrDevice where) {
  if (x.ndim() < 1 || weight.ndim() != 2 || x.shape(-1) != weight.shape(1) ||
      (bias && (bias->ndim() != 1 || bias->shape(0) != weight.shape(0))))
    throw std::invalid_argument("linear: weight must be [D_out, D_in] and bias [D_out] for x [..., D_in]");
  if (!supported({x, weight})) return {};
  const auto s = mx::to_stream(where);
  Arrays inputs{mx::astype(x, mx::result_type(x, weight), s), weight};
  if (bias) inputs.push_back(supported({*bias}) ? *bias : as_float32(*bias, s));
  const auto op = std::make_shared<Linear>(s, Activation{slope, floor});
  return array(op->output_shapes(inputs)[0], inputs[0].dtype(), op, inputs);
}

std::optional<array> quantized_matmul(const array& x, const array& w, const array& scales, const std::optional<array>& biases,
                                      bool transpose, std::optional<int64_t> group_size, std::optional<int64_t> bits,
                                      const std::string& mode, const std::optional<array>& bias, std::optional<int64_t> x_bits,
                                      mx::StreamOrDevice where) {
  const int64_t group = group_size.value_or(64), width = bits.value_or(4);
  if (mode != "affine" || !transpose || !biases || (width != 4 && width != 8) || group % 32 || w.ndim() != 2 ||
      scales.ndim() != 2 || biases->ndim() != 2 || w.dtype() != mx::uint32 || !supported({x, scales, *biases}) || x.ndim() < 1 ||
      biases->dtype() != scales.dtype() || biases->shape() != scales.shape() || scales.shape(0) != w.shape(0) ||
      x.shape(-1) * width != 32 * (int64_t)w.shape(1) || x.shape(-1) != scales.shape(1) * group ||
      (bias && (bias->ndim() != 1 || bias->shape(0) != w.shape(0) || !supported({*bias}))) || (x_bits && (*x_bits != 8 || width != 8)))
    return {};
  const auto s = mx::to_stream(where);
  const auto dtype = bias ? mx::promote_types(mx::result_type(x, scales), bias->dtype()) : mx::result_type(x, scales);
  Arrays inputs{mx::astype(x, dtype, s), w, scales, *biases};
  if (bias) inputs.push_back(*bias);
  const auto op = std::make_shared<QuantizedMatmul>(s, group, width, bias.has_value(), x_bits.has_value());
  return array(op->output_shapes(inputs)[0], inputs[0].dtype(), op, inputs);
}

} // namespace

void bind_linear(nb::module_& m) {
  m.def("linear", &linear, "x"_a, "weight"_a, "bias"_a = nb::none(), nb::kw_only(), "slope"_a = nb::none(),
        "floor"_a = no_floor, "stream"_a = nb::none());
  m.def("quantized_matmul", &quantized_matmul, "x"_a, "w"_a, "scales"_a, "biases"_a = nb::none(), "transpose"_a = true,
        "group_size"_a = nb::none(), "bits"_a = nb::none(), "mode"_a = "affine", nb::kw_only(), "bias"_a = nb::none(),
        "x_bits"_a = nb::none(), "stream"_a = nb::none());
}

} // namespace ptm
