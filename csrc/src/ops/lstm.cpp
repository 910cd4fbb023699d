// LSTM recurrences: directions and blocks of batch rows side by side, each with its weights in one core's cache.
#include "simd/lstm.h"

#include <cstring>
#include <memory>

#include "matmul.h"
#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

constexpr int64_t few_steps = 6; // up to here packing the weights would cost more than it saves

struct Sizes {
  int64_t directions, batch, length, units;
};

// In every array directions come first, then the batch. cell is the state before the first step, and becomes that after the
// last.
void run(const Sizes& n, const float* gates, const float* weight, const float* hidden, float* y, float* cell) {
  const int64_t units = n.units, square = 4 * units * units;
  if (n.length <= few_steps) {
    parallel(n.directions, [&](int64_t d) {
      const std::unique_ptr<float[]> space(new float[n.batch * 5 * units]);
      float *sums = space.get(), *now = sums + n.batch * 4 * units; // the hidden state
      std::memcpy(now, hidden + d * n.batch * units, n.batch * units * sizeof(float));
      for (int64_t t = 0; t < n.length; t++) {
        sgemm(false, true, n.batch, 4 * units, units, 1, now, units, weight + d * square, units, 0, sums, 4 * units);
        for (int64_t b = 0; b < n.batch; b++) {
          const int64_t row = d * n.batch + b, at = row * n.length + t;
          lstm_units(gates + at * 4 * units, sums + b * 4 * units, y + at * units, cell + row * units, units);
          std::memcpy(now + b * units, y + at * units, units * sizeof(float));
        }
      }
    });
    return;
  }
  const int64_t size = lstm_packed_size(units), blocks = ceil_div(n.batch, lstm_rows);
  float* packed = scratch(panels_slot, size * n.directions);
  parallel(n.directions, [&](int64_t d) { lstm_pack(weight + d * square, units, packed + d * size); });
  parallel(n.directions * blocks, [&](int64_t job) {
    const int64_t d = job / blocks, first = job % blocks * lstm_rows, row = d * n.batch + first, at = row * n.length * units;
    lstm_run(gates + 4 * at, packed + d * size, hidden + row * units, y + at, cell + row * units,
             smaller(lstm_rows, n.batch - first), n.length, units);
  });
}

// inputs: gates, weight, and with a state hidden and cell. outputs: the hidden states, and with a state the last cell.
class Lstm : public Op {
 public:
  Lstm(mx::Stream s, const char* name) : Op(s, name) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    Shape y = inputs[0].shape();
    y.back() /= 4;
    if (inputs.size() < 3) return {y};
    return {y, inputs[2].shape()};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& y = outputs[0];
    auto& encoder = begin(inputs, y);
    const Arrays dense = row_major(inputs);
    const bool state = inputs.size() > 2;
    if (state) {
      outputs[1].set_data(mx::allocator::malloc(outputs[1].nbytes()));
      encoder.set_output_array(outputs[1]);
    }
    encoder.dispatch([n = Sizes{y.ndim() > 3 ? y.shape(0) : 1, y.shape(-3), y.shape(-2), y.shape(-1)}, gates = dense[0].data<float>(),
                      weight = dense[1].data<float>(), hidden = state ? dense[2].data<float>() : nullptr,
                      before = state ? dense[3].data<float>() : nullptr, cell = state ? outputs[1].data<float>() : nullptr,
                      y = y.data<float>()] {
      const int64_t count = n.directions * n.batch * n.units;
      if (before) {
        std::memcpy(cell, before, count * sizeof(float));
        return run(n, gates, weight, hidden, y, cell);
      }
      const std::unique_ptr<float[]> zero(new float[2 * count]());
      run(n, gates, weight, zero.get(), y, zero.get() + count);
    });
  }
};

void check(bool fits) {
  if (!fits)
    throw std::invalid_argument("lstm: gates must be [N, B, L, 4D], weight [N, 4D, D], and hidden and cell [N, B, D], all with or without N; L > 0");
}

bool fit(const array& gates, const array& weight) {
  const bool directions = gates.ndim() == 4 && weight.ndim() == 3 && weight.shape(0) == gates.shape(0);
  return (directions || (gates.ndim() == 3 && weight.ndim() == 2)) && weight.shape(-2) == gates.shape(-1) &&
      weight.shape(-2) == 4 * weight.shape(-1);
}

std::optional<array> lstm(const array& gates, const array& weight, mx::StreamOrDevice where) {
  check(fit(gates, weight));
  if (!supported({gates, weight})) return {};
  const auto s = mx::to_stream(where);
  const auto op = std::make_shared<Lstm>(s, "lstm");
  const Arrays inputs{as_float32(gates, s), as_float32(weight, s)};
  return mx::astype(array(op->output_shapes(inputs)[0], mx::float32, op, inputs), gates.dtype(), s);
}

std::optional<std::pair<array, array>> lstm_steps(const array& gates, const array& weight, const array& hidden, const array& cell,
                                                  mx::StreamOrDevice where) {
  check(fit(gates, weight) && gates.shape(-2) > 0);
  Shape state = gates.shape(); // without the length
  state.erase(state.end() - 2);
  state.back() = weight.shape(-1);
  check(hidden.shape() == state && cell.shape() == state);
  if (!supported({gates, weight, hidden, cell})) return {};
  const auto s = mx::to_stream(where);
  const auto op = std::make_shared<Lstm>(s, "lstm_steps");
  const Arrays inputs{as_float32(gates, s), as_float32(weight, s), as_float32(hidden, s), as_float32(cell, s)};
  const auto y = array::make_arrays(op->output_shapes(inputs), {mx::float32, mx::float32}, op, inputs);
  return std::pair{mx::astype(y[0], gates.dtype(), s), mx::astype(y[1], gates.dtype(), s)};
}

} // namespace

void bind_lstm(nb::module_& m) {
  m.def("lstm", &lstm, "gates"_a, "weight"_a, "stream"_a = nb::none());
  m.def("lstm_steps", &lstm_steps, "gates"_a, "weight"_a, "hidden"_a, "cell"_a, "stream"_a = nb::none());
}

} // namespace ptm
