// LSTM recurrences: directions and blocks of batch rows side by side, each with its weights in one core's cache.
#include "simd/lstm.h"

#include "matmul.h"
#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

class Lstm : public Op {
 public:
  explicit Lstm(mx::Stream s) : Op(s, "lstm") {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    const auto& gates = inputs[0];
    return {{gates.shape(0), gates.shape(1), gates.shape(2), gates.shape(3) / 4}};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& y = outputs[0];
    auto& encoder = begin(inputs, y);
    const auto x = row_major(inputs[0]), w = row_major(inputs[1]);
    encoder.dispatch([gates = x.data<float>(), weight = w.data<float>(), out = y.data<float>(),
                      directions = (int64_t)y.shape(0), batch = (int64_t)y.shape(1), length = (int64_t)y.shape(2),
                      units = (int64_t)y.shape(3)] {
      const int64_t size = lstm_packed_size(units), blocks = (batch + lstm_rows - 1) / lstm_rows;
      float* packed = scratch(panels_slot, size * directions);
      parallel(directions, [&](int64_t n) { lstm_pack(weight + n * 4 * units * units, units, packed + n * size); });
      parallel(directions * blocks, [&](int64_t job) {
        const int64_t n = job / blocks, first = job % blocks * lstm_rows;
        const int64_t rows = batch - first < lstm_rows ? batch - first : lstm_rows;
        const int64_t at = (n * batch + first) * length * units;
        lstm_run(gates + 4 * at, packed + n * size, out + at, scratch(rows_slot, rows * units), rows, length, units);
      });
    });
  }
};

std::optional<array> lstm(const array& gates, const array& weight, mx::StreamOrDevice where) {
  if (gates.ndim() != 4 || weight.ndim() != 3 || weight.shape(0) != gates.shape(0) || weight.shape(1) != gates.shape(3) ||
      weight.shape(1) != 4 * weight.shape(2))
    throw std::invalid_argument("lstm: gates must be [N, B, L, 4D] and weight [N, 4D, D]");
  if (!for_us({gates, weight})) return {};
  const auto s = mx::to_stream(where);
  const auto op = std::make_shared<Lstm>(s);
  const Arrays inputs{single(gates, s), single(weight, s)};
  return mx::astype(array(op->output_shapes(inputs)[0], mx::float32, op, inputs), gates.dtype(), s);
}

} // namespace

void bind_lstm(nb::module_& m) { m.def("lstm", &lstm, "gates"_a, "weight"_a, "stream"_a = nb::none()); }

} // namespace ptm
