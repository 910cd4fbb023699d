// Sums, differences, products and quotients of two arrays, and padding. The result has the layout of the operand of its
// shape, as in PyTorch: between two convolutions, values that are seen as [B, C, L] stay [B, L, C] in memory.
#include "simd/arithmetic.h"

#include <cstring>

#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

constexpr int64_t job_elements = 32768;

// An axis of the result, or several that are one in memory, and the steps along it.
struct Axis {
  int64_t size, a, b;
};

// The axes of two arrays of the shape of `out`, merged where both go on evenly; the last is the one that is dense in `out`.
std::vector<Axis> merged_axes(const array& out, const array& a, const array& b) {
  std::vector<Axis> axes;
  for (int i : memory_order(out)) {
    const Axis next{out.shape(i), a.strides(i), b.strides(i)};
    if (!axes.empty() && axes.back().a == next.a * next.size && axes.back().b == next.b * next.size)
      axes.back() = {axes.back().size * next.size, next.a, next.b};
    else
      axes.push_back(next);
  }
  if (axes.empty()) axes.push_back({1, 0, 0});
  return axes;
}

class Binary : public Op {
 public:
  Binary(mx::Stream s, const char* name, Arithmetic op) : Op(s, name), op_(op) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  // Both inputs have the shape of the result, with steps of 0 where they are broadcast.
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const array &a = inputs[0], &b = inputs[1];
    auto& encoder = begin_in_layout(inputs, is_broadcast(a) && !is_broadcast(b) ? b : a, outputs[0]);
    encoder.dispatch([op = op_, axes = merged_axes(outputs[0], a, b), left = a.data<float>(), right = b.data<float>(),
                      out = outputs[0].data<float>(), size = (int64_t)outputs[0].size()] {
      const Axis last = axes.back();
      const int64_t n = last.size, piece = smaller_of(n, job_elements), pieces = (n + piece - 1) / piece;
      const int64_t block = 1 + job_elements / n, rows = size / n, blocks = (rows + block - 1) / block;
      const Axis inner = axes.size() > 1 ? axes[axes.size() - 2] : Axis{1, 0, 0};
      parallel(blocks * pieces, [&](int64_t job) {
        const int64_t first = job % pieces * piece, count = smaller_of(piece, n - first);
        const int64_t end = smaller_of((job / pieces + 1) * block, rows);
        for (int64_t row = job / pieces * block, stop; row < end; row = stop) {
          stop = pieces > 1 ? row + 1 : smaller_of(end, (row / inner.size + 1) * inner.size);
          int64_t p = first * last.a, q = first * last.b, rest = row;
          for (size_t i = axes.size() - 1; i-- > 0; rest /= axes[i].size) {
            p += rest % axes[i].size * axes[i].a;
            q += rest % axes[i].size * axes[i].b;
          }
          arithmetic(op, {left + p, inner.a, last.a}, {right + q, inner.b, last.b}, out + row * n + first, stop - row, count);
        }
      });
    });
  }

 private:
  static int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }
  static bool is_broadcast(const array& x) {
    for (int i = 0; i < (int)x.ndim(); i++)
      if (x.strides(i) == 0 && x.shape(i) > 1) return true;
    return false;
  }

  Arithmetic op_;
};

// Calls f(name, op) for each kind.
template <class F>
void each_kind(const F& f) {
  f("add", Arithmetic::add);
  f("subtract", Arithmetic::subtract);
  f("multiply", Arithmetic::multiply);
  f("divide", Arithmetic::divide);
}

std::optional<array> binary(const std::string& name, const array& a, const array& b, mx::StreamOrDevice where) {
  if (a.dtype() != mx::float32 || b.dtype() != mx::float32) return {};
  const auto shape = mx::broadcast_shapes(a.shape(), b.shape());
  std::optional<array> result;
  const auto s = mx::to_stream(where);
  each_kind([&](const char* kind, Arithmetic op) {
    if (name != kind) return;
    const Arrays inputs{mx::broadcast_to(a, shape, s), mx::broadcast_to(b, shape, s)};
    if (inputs[0].size() > 0) result = array(shape, mx::float32, std::make_shared<Binary>(s, kind, op), inputs);
  });
  return result;
}

class Pad : public Op {
 public:
  Pad(mx::Stream s, int64_t axis, int64_t before, int64_t after, bool edge)
      : Op(s, "pad_axis", {{"axis", axis}, {"before", before}, {"after", after}, {"edge", edge}}),
        axis_(axis), before_(before), after_(after), edge_(edge) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape[axis_] += before_ + after_;
    return {shape};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const bool is_dense = inputs[0].flags().contiguous && inputs[0].data_size() == inputs[0].size();
    const array x = is_dense ? inputs[0] : row_major(inputs[0]);
    auto& encoder = begin_in_layout(inputs, x, outputs[0]);
    int64_t inner = 1; // floats of one place along the axis
    for (const auto order = memory_order(x); int i : order) inner = i == axis_ ? 1 : inner * x.shape(i);
    encoder.dispatch([in = x.data<float>(), out = outputs[0].data<float>(), size = (int64_t)x.shape(axis_), inner, before = before_,
                      after = after_, edge = edge_, total = (int64_t)outputs[0].size()] {
      const int64_t length = size + before + after;
      parallel_ranges(total / inner, 1 + job_elements / inner, [&](int64_t begin, int64_t end) {
        for (int64_t place = begin; place < end;) {
          const int64_t item = place / length, i = place % length - before;
          const float* from = in + item * size * inner;
          float* to = out + place * inner;
          if (i >= 0 && i < size) {
            const int64_t count = end - place < size - i ? end - place : size - i;
            std::memcpy(to, from + i * inner, count * inner * sizeof(float));
            place += count;
            continue;
          }
          if (edge)
            std::memcpy(to, from + (i < 0 ? 0 : size - 1) * inner, inner * sizeof(float));
          else
            std::memset(to, 0, inner * sizeof(float));
          place++;
        }
      });
    });
  }

 private:
  int64_t axis_, before_, after_;
  bool edge_;
};

std::optional<array> pad_axis(const array& x, int64_t axis, int64_t before, int64_t after, bool edge, mx::StreamOrDevice where) {
  if (x.dtype() != mx::float32 || x.size() == 0 || axis < 0 || axis >= (int64_t)x.ndim() || before < 0 || after < 0 ||
      before + after == 0 || x.shape(axis) < 2)
    return {};
  const auto op = std::make_shared<Pad>(mx::to_stream(where), axis, before, after, edge);
  return array(op->output_shapes({x})[0], mx::float32, op, {x});
}

} // namespace

void bind_arithmetic(nb::module_& m) {
  m.def("binary", &binary, "name"_a, "a"_a, "b"_a, "stream"_a = nb::none());
  m.def("pad_axis", &pad_axis, "x"_a, nb::kw_only(), "axis"_a, "before"_a, "after"_a, "edge"_a, "stream"_a = nb::none());
}

} // namespace ptm
