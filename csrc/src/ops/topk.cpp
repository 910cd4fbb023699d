// The likeliest tokens by an output layer, and what turns its logits into probabilities: no logits are written to memory.
#include "simd/topk.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>

#include "matmul.h"
#include "ops/bind.h"
#include "ops/op.h"
#include "ops/product.h"
#include "pool.h"

namespace ptm {

namespace {

using Optional = std::optional<array>;

constexpr int64_t job_bytes = 1 << 20; // of weights: so few columns have few of the greatest logits

// What the jobs find in their columns, and the greatest of the lists' last values so far: less need not be looked at.
struct Found {
  Found(int64_t jobs, int64_t rows, int64_t count)
      : rows(rows), count(count), tops(new float[jobs * rows]), sums(new float[jobs * rows]), values(new float[jobs * rows * count]),
        places(new int32_t[jobs * rows * count]), bounds(new std::atomic<float>[rows]) {
    for (int64_t row = 0; row < rows; row++) bounds[row] = -INFINITY;
  }
  void raise(int64_t row, float value) {
    float bound = bounds[row].load(std::memory_order_relaxed);
    while (value > bound && !bounds[row].compare_exchange_weak(bound, value, std::memory_order_relaxed)) {}
  }
  int64_t rows, count;
  std::unique_ptr<float[]> tops, sums, values; // [jobs, rows], and for values and places [jobs, rows, count]
  std::unique_ptr<int32_t[]> places;
  std::unique_ptr<std::atomic<float>[]> bounds; // [rows]
};

struct Outputs {
  float* values;
  int32_t* places;
  float* log_sums;
};

// Joins the jobs of a row. Jobs are in the order of their columns, so that of equal logits the first stays first.
void join(const Found& found, int64_t jobs, int64_t row, const Outputs& out) {
  const int64_t count = found.count;
  float* values = out.values + row * count;
  int32_t* places = out.places + row * count;
  int64_t filled = 0;
  for (int64_t job = 0; job < jobs; job++)
    for (int64_t i = (job * found.rows + row) * count, end = i + count; i < end && found.places[i] >= 0; i++) {
      const float value = found.values[i];
      if (filled == count && !(value > values[count - 1])) break;
      int64_t at = filled < count ? filled++ : count - 1;
      for (; at > 0 && values[at - 1] < value; at--) {
        values[at] = values[at - 1];
        places[at] = places[at - 1];
      }
      values[at] = value;
      places[at] = found.places[i];
    }
  double sum = 0;
  const double start = values[0] == -INFINITY ? 0.0 : values[0];
  for (int64_t job = 0; job < jobs; job++) {
    const float top = found.tops[job * found.rows + row];
    sum += found.sums[job * found.rows + row] * std::exp((top == -INFINITY ? 0.0 : top) - start);
  }
  out.log_sums[row] = (float)std::log(sum);
}

void greatest(const float* x, const RowWeights& w, int64_t rows, int64_t columns, int64_t depth, const float* bias,
              int64_t count, const Outputs& out, bool rounds) {
  const Product product(x, w, rows, columns, depth, rounds);
  const int64_t unit = product.job_columns(), width = unit * larger(1, job_bytes / (unit * w.row_bytes));
  const int64_t jobs = ceil_div(columns, width);
  Found found(jobs, rows, count);
  parallel(jobs, [&](int64_t job) {
    const int64_t first = job * width, n = std::min(width, columns - first);
    float* logits = scratch(output_slot, rows * n);
    product(first, n, logits, n, bias ? bias + first : nullptr);
    for (int64_t row = 0; row < rows; row++) {
      const int64_t at = job * rows + row;
      greatest_of_row(logits + row * n, n, (int32_t)first, count, found.bounds[row].load(std::memory_order_relaxed),
                      &found.values[at * count], &found.places[at * count], &found.tops[at], &found.sums[at]);
      found.raise(row, found.values[at * count + count - 1]);
    }
  });
  parallel(rows, [&](int64_t row) { join(found, jobs, row, out); });
}

class TopK : public Op {
 public:
  TopK(mx::Stream s, const char* name, int64_t count, int64_t group_size, int64_t bits, bool rounds, Names names)
      : Op(s, name, options(count, group_size, bits, rounds), std::move(names)), count_(count), group_(group_size), bits_(bits), rounds_(rounds) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    const int rows = inputs[0].shape(0);
    return {{rows, (int)count_}, {rows, (int)count_}, {rows}};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const Arrays dense = row_major(inputs);
    auto& encoder = begin(inputs, outputs[0]);
    for (int i = 1; i < 3; i++) {
      outputs[i].set_data(mx::allocator::malloc(outputs[i].nbytes()));
      encoder.set_output_array(outputs[i]);
    }
    const array &x = dense[0], &w = dense[1];
    const int64_t rows = x.shape(0), depth = x.shape(1), columns = w.shape(0);
    const array *scales = named(dense, "scales"), *biases = named(dense, "biases"), *bias = named(dense, "bias");
    const RowWeights weights = bits_
        ? RowWeights{storage(*scales), w.data<void>(), depth * bits_ / 8, (int)bits_, scales->data<void>(), biases->data<void>(), group_}
        : RowWeights{storage(w), w.data<void>(), depth * (int64_t)w.itemsize()};
    encoder.dispatch([=, count = count_, rounds = rounds_, x = x.data<float>(), bias = bias ? bias->data<float>() : nullptr,
                      out = Outputs{outputs[0].data<float>(), outputs[1].data<int32_t>(), outputs[2].data<float>()}] {
      greatest(x, weights, rows, columns, depth, bias, count, out, rounds);
    });
  }

 private:
  static Options options(int64_t count, int64_t group_size, int64_t bits, bool rounds) {
    if (!bits) return {{"count", count}};
    Options out{{"count", count}, {"group_size", group_size}, {"bits", bits}};
    if (rounds) out.push_back({"x_bits", int64_t(8)});
    return out;
  }
  int64_t count_, group_, bits_;
  bool rounds_;
};

std::optional<Arrays> run(const char* name, const array& x, const array& w, const Optional& scales, const Optional& biases,
                          const Optional& bias, int64_t count, int64_t group_size, int64_t bits, bool rounds, mx::StreamOrDevice where) {
  const auto s = mx::to_stream(where);
  Arrays inputs{as_float32(x, s), w};
  Names names{"x", bits ? "w" : "weight"};
  auto add = [&](const char* key, const Optional& value, bool wide) {
    if (!value) return;
    inputs.push_back(wide ? as_float32(*value, s) : *value);
    names.push_back(key);
  };
  add("scales", scales, false);
  add("biases", biases, false);
  add("bias", bias, true);
  const auto op = std::make_shared<TopK>(s, name, count, group_size, bits, rounds, std::move(names));
  return array::make_arrays(op->output_shapes(inputs), {mx::float32, mx::int32, mx::float32}, op, inputs);
}

void check(const array& x, const array& w, const Optional& bias, int64_t count) {
  if (x.ndim() != 2 || w.ndim() != 2 || (bias && (bias->ndim() != 1 || bias->shape(0) != w.shape(0))))
    throw std::invalid_argument("x must be [rows, D], the weight [V, D] and bias [V]");
  if (count < 1 || count > w.shape(0)) throw std::invalid_argument("count must be between 1 and the columns of the weight");
}

std::optional<Arrays> linear_topk(const array& x, const array& weight, const Optional& bias, int64_t count, mx::StreamOrDevice where) {
  check(x, weight, bias, count);
  if (x.shape(1) != weight.shape(1)) throw std::invalid_argument("x must be [rows, D] for a weight [V, D]");
  if (!supported({x, weight}) || (bias && !supported({*bias}))) return {};
  return run("linear_topk", x, weight, std::nullopt, std::nullopt, bias, count, 0, 0, false, where);
}

std::optional<Arrays> quantized_topk(const array& x, const array& w, const array& scales, const array& biases, const Optional& bias,
                                     int64_t count, int64_t group_size, int64_t bits, std::optional<int64_t> x_bits,
                                     mx::StreamOrDevice where) {
  check(x, w, bias, count);
  if ((x_bits && (*x_bits != 8 || bits != 8)) || (bits != 4 && bits != 8) || group_size % 32 || scales.ndim() != 2 || w.dtype() != mx::uint32 || !supported({x, scales, biases}) ||
      (bias && !supported({*bias})) || biases.dtype() != scales.dtype() || biases.shape() != scales.shape() ||
      scales.shape(0) != w.shape(0) || x.shape(1) * bits != 32 * (int64_t)w.shape(1) || x.shape(1) != scales.shape(1) * group_size)
    return {};
  return run("quantized_topk", x, w, scales, biases, bias, count, group_size, bits, x_bits.has_value(), where);
}

} // namespace

void bind_topk(nb::module_& m) {
  m.def("linear_topk", &linear_topk, "x"_a, "weight"_a, "bias"_a = nb::none(), nb::kw_only(), "count"_a, "stream"_a = nb::none());
  m.def("quantized_topk", &quantized_topk, "x"_a, "w"_a, "scales"_a, "biases"_a, "bias"_a = nb::none(), nb::kw_only(), "count"_a,
        "group_size"_a, "bits"_a, "x_bits"_a = nb::none(), "stream"_a = nb::none());
}

} // namespace ptm
