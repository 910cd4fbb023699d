// The base of our MLX primitives, and what they share.
#pragma once
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/mlx.h"
#include "mlx/primitives.h"
#include "simd/dtype.h"

namespace ptm {

namespace mx = mlx::core;
using mx::array;
using mx::Shape;
using Arrays = std::vector<array>;
using Option = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>>;
using Options = std::vector<std::pair<std::string, Option>>;
using Names = std::vector<std::string>;

// A primitive on the CPU. It computes the function of the same name in pytorch_to_mlx.backend.plain, called with the inputs
// (by position, or by their names) and, as keywords, the options. Its gradients, jvp and vmap are that function's.
class Op : public mx::Primitive {
 public:
  Op(mx::Stream stream, const char* name, Options options = {}, Names names = {})
      : Primitive(stream), name_(name), options_(std::move(options)), names_(std::move(names)) {}

  const char* name() const override { return name_; }
  bool is_equivalent(const Primitive& other) const override;
  void eval_gpu(const Arrays&, Arrays&) override { throw std::runtime_error("pytorch_to_mlx_cpu runs on the CPU only"); }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override;
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 protected:
  // Allocates `out` (row-major) and returns where to send the work: begin(inputs, out).dispatch([raw pointers] { … }).
  // MLX keeps inputs and outputs alive until it has run.
  mx::cpu::CommandEncoder& begin(const Arrays& inputs, array& out);

  // The same, in the memory of inputs[0] if nothing else needs that. The result is row-major; with `any_layout` it has the
  // layout of inputs[0] if that has no gaps.
  mx::cpu::CommandEncoder& begin_in_place(const Arrays& inputs, array& out, bool any_layout = false);

  // The same, in the layout of x, which has as many axes: the order of its axes in memory, without gaps. In the memory of x
  // if that has the shape of the result and nothing else needs it.
  mx::cpu::CommandEncoder& begin_in_layout(const Arrays& inputs, const array& x, array& out);

  // The input of this name; nullptr if there is none.
  const array* named(const Arrays& inputs, const char* name) const;

  // For eval_cpu: x itself if it is row-major, else a row-major copy, made before the work that is dispatched next.
  array row_major(const array& x);
  Arrays row_major(const Arrays& x);

 private:
  Arrays plain(const Arrays& inputs);

  const char* name_;
  Options options_;
  Names names_;
};

constexpr double no_floor = -std::numeric_limits<double>::infinity();

// The leaky ReLU that may follow an op, with a lower bound: y = max(floor, y > 0 ? y : slope · y).
struct Activation {
  std::optional<double> slope = std::nullopt; // none: no activation
  double floor = no_floor;

  // The same as options of the op.
  Options options() const;
  // Applies it in place, in parallel.
  void operator()(float* y, int64_t n) const;
};

// Whether the kernels take these arrays: each is float32, float16 or bfloat16, and not empty.
bool supported(const Arrays& arrays);

// The axes of x that are longer than 1, in the order of memory: the last is the one whose numbers are side by side. Row-major
// where an axis is broadcast.
std::vector<int> memory_order(const array& x);

// Options one after the other.
Options joined(Options first, const Options& more);

// The dtype of a supported array.
Dtype storage(const array& x);

// x converted to float32; x itself if it is float32 already.
array as_float32(const array& x, mx::Stream s);

} // namespace ptm
