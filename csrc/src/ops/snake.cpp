#include "simd/snake.h"

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

class Snake : public Op {
 public:
  explicit Snake(mx::Stream s) : Op(s, "snake") {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const auto x = row_major(inputs[0]), factors = row_major(inputs[1]);
    const int64_t channels = x.shape(-1), rows = x.size() / channels;
    auto& encoder = begin(inputs, outputs[0]);
    encoder.dispatch([in = x.data<float>(), alpha = factors.data<float>(), out = outputs[0].data<float>(), rows, channels] {
      parallel_ranges(rows, 1 + 16384 / channels, [&](int64_t begin, int64_t end) {
        snake(in + begin * channels, alpha, out + begin * channels, end - begin, channels);
      });
    });
  }
};

std::optional<array> snake_op(const array& x, const array& alpha, mx::StreamOrDevice where) {
  if (x.ndim() < 1 || alpha.ndim() != 1 || alpha.shape(0) != x.shape(-1))
    throw std::invalid_argument("snake: alpha must be [D] for x [..., D]");
  if (!supported({x, alpha})) return {};
  const auto s = mx::to_stream(where);
  const array y(x.shape(), mx::float32, std::make_shared<Snake>(s), {as_float32(x, s), as_float32(alpha, s)});
  return mx::astype(y, x.dtype(), s);
}

void bind_snake(nb::module_& m) { m.def("snake", &snake_op, "x"_a, "alpha"_a, "stream"_a = nb::none()); }

} // namespace ptm
