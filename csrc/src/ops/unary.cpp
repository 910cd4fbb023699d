// Elementwise functions of one array.
#include "simd/unary.h"

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

class UnaryOp : public Op {
 public:
  UnaryOp(mx::Stream s, const char* name, Unary function, float parameter, Options options)
      : Op(s, name, std::move(options)), function_(function), parameter_(parameter) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& encoder = begin_in_place(inputs, outputs[0], true);
    const array x = inputs[0].flags().contiguous ? inputs[0] : row_major(inputs[0]);
    encoder.dispatch([function = function_, parameter = parameter_, dtype = storage(x), size = (int64_t)x.itemsize(),
                      n = (int64_t)x.data_size(), in = x.data<char>(), out = outputs[0].data<char>()] {
      parallel_ranges(n, 16384, [&](int64_t begin, int64_t end) {
        unary(function, parameter, dtype, in + begin * size, out + begin * size, end - begin);
      });
    });
  }

 private:
  Unary function_;
  float parameter_;
};

std::optional<array> run(const char* name, Unary function, const array& x, mx::StreamOrDevice where, float parameter = 0,
                         Options options = {}) {
  if (!supported({x})) return {};
  const auto s = mx::to_stream(where);
  return array(x.shape(), x.dtype(), std::make_shared<UnaryOp>(s, name, function, parameter, std::move(options)),
               {x});
}

// Arrays of one shape, row-major.
class Add : public Op {
 public:
  Add(mx::Stream s, double scale) : Op(s, "add", {{"scale", scale}}), scale_(scale) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& encoder = begin_in_place(inputs, outputs[0]);
    std::vector<const float*> x;
    for (const auto& input : row_major(inputs)) x.push_back(input.data<float>());
    encoder.dispatch([x, scale = scale_, n = (int64_t)inputs[0].size(), out = outputs[0].data<float>()] {
      parallel_ranges(n, 16384, [&](int64_t begin, int64_t end) {
        const float* from[3];
        for (size_t i = 0; i < x.size(); i++) from[i] = x[i] + begin;
        add_up(from, x.size(), scale, out + begin, end - begin);
      });
    });
  }

 private:
  float scale_;
};

std::optional<array> add(const nb::args& args, double scale, mx::StreamOrDevice where) {
  const auto s = mx::to_stream(where);
  Arrays inputs;
  for (nb::handle arg : args) inputs.push_back(nb::cast<array>(arg));
  if (inputs.size() < 2 || inputs.size() > 3) return {};
  for (const auto& x : inputs)
    if (x.dtype() != mx::float32 || x.shape() != inputs[0].shape() || x.size() == 0) return {};
  return array(inputs[0].shape(), mx::float32, std::make_shared<Add>(s, scale), inputs);
}

} // namespace

void bind_unary(nb::module_& m) {
  auto bind = [&](const char* name, Unary function) {
    m.def(name, [=](const array& x, mx::StreamOrDevice s) { return run(name, function, x, s); }, "x"_a, "stream"_a = nb::none());
  };
  m.def("add", &add, "arrays"_a, nb::kw_only(), "scale"_a = 1.0, "stream"_a = nb::none());
  bind("exp", Unary::exp);
  bind("sin", Unary::sin);
  bind("cos", Unary::cos);
  bind("tanh", Unary::tanh);
  bind("sigmoid", Unary::sigmoid);
  bind("erf", Unary::erf);
  bind("gelu", Unary::gelu);
  bind("gelu_tanh", Unary::gelu_tanh);
  bind("silu", Unary::silu);
  bind("mish", Unary::mish);
  bind("relu", Unary::relu);
  bind("square", Unary::square);
  m.def("elu", [](const array& x, double alpha, mx::StreamOrDevice s) {
          return run("elu", Unary::elu, x, s, alpha, {{"alpha", alpha}});
        }, "x"_a, "alpha"_a = 1.0, "stream"_a = nb::none());
  m.def("leaky_relu", [](const array& x, double slope, mx::StreamOrDevice s) {
          return run("leaky_relu", Unary::leaky_relu, x, s, slope, {{"negative_slope", slope}});
        }, "x"_a, "negative_slope"_a = 0.01, "stream"_a = nb::none());
}

} // namespace ptm
