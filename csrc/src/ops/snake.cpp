#include "simd/snake.h"

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

class Snake : public Op {
 public:
  using Op::Op;
  DEFINE_NAME(PtmSnake)
  DEFINE_DEFAULT_IS_EQUIVALENT()
  DEFINE_INPUT_OUTPUT_SHAPE()

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const auto& x = inputs[0];
    const int64_t channels = x.shape(-1), rows = x.size() / (channels ? channels : 1);
    auto& encoder = begin(inputs, outputs[0]);
    encoder.dispatch([in = x.data<float>(), alpha = inputs[1].data<float>(), out = outputs[0].data<float>(), rows, channels] {
      parallel_ranges(rows, 1 + 16384 / channels, [&](int64_t begin, int64_t end) {
        snake(in + begin * channels, alpha, out + begin * channels, end - begin, channels);
      });
    });
  }
};

array snake_op(const array& x, const array& alpha, mx::StreamOrDevice s) {
  if (x.ndim() < 1 || alpha.ndim() != 1 || alpha.shape(0) != x.shape(-1))
    throw std::invalid_argument("snake: alpha must be [D] for x [..., D]");
  if (x.size() == 0) return x;
  const auto stream = mx::to_stream(s);
  auto fallback = [stream](const Arrays& in) -> Arrays {
    const auto sine = mx::sin(mx::multiply(in[1], in[0], stream), stream);
    return {mx::add(in[0], mx::divide(mx::square(sine, stream), in[1], stream), stream)};
  };
  array y(x.shape(), mx::float32, std::make_shared<Snake>(stream, fallback), {dense(x, stream), dense(alpha, stream)});
  return mx::astype(y, x.dtype(), stream);
}

void bind_snake(nb::module_& m) {
  m.def("snake", &snake_op, "x"_a, "alpha"_a, "stream"_a = nb::none());
}

} // namespace ptm
