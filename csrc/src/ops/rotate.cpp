// Rotary positions.
#include "simd/rotate.h"

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

class Rotate : public Op {
 public:
  explicit Rotate(mx::Stream s) : Op(s, "rotate") {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const auto x = row_major(inputs[0]), cos = row_major(inputs[1]), sin = row_major(inputs[2]);
    const int64_t width = x.shape(-1), length = x.shape(-2), half = cos.shape(1), rows = x.size() / width;
    auto& encoder = begin(inputs, outputs[0]);
    encoder.dispatch([dtype = storage(x), in = x.data<void>(), cos = cos.data<float>(), sin = sin.data<float>(),
                      out = outputs[0].data<void>(), rows, length, half, width] {
      parallel_ranges(rows, 1 + 16384 / width, [&](int64_t first, int64_t end) {
        rotate(dtype, in, cos, sin, out, first, end, length, half, width);
      });
    });
  }
};

std::optional<array> rotate_op(const array& x, const array& cos, const array& sin, mx::StreamOrDevice where) {
  if (x.ndim() < 2 || cos.ndim() != 2 || cos.shape() != sin.shape() || cos.shape(0) != x.shape(-2) || 2 * cos.shape(1) > x.shape(-1))
    throw std::invalid_argument("rotate: cos and sin must be [L, half] for x [..., L, D] with 2 half <= D");
  if (!supported({x, cos, sin})) return {};
  const auto s = mx::to_stream(where);
  return array(x.shape(), x.dtype(), std::make_shared<Rotate>(s), {x, as_float32(cos, s), as_float32(sin, s)});
}

void bind_rotate(nb::module_& m) {
  m.def("rotate", &rotate_op, "x"_a, "cos"_a, "sin"_a, "stream"_a = nb::none());
}

} // namespace ptm
