// The base of our MLX primitives, and what they share.
#pragma once
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

// A primitive on the CPU. It is the same function as pytorch_to_mlx.backend.plain's of the same name, called with the
// inputs (by position, or by their names) and, as keywords, the options: gradients, jvp and vmap come from there.
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

  // The same, in the memory of inputs[0] where nobody else needs it. The result is row-major; with `any_layout` it is laid
  // out as inputs[0] if that has no gaps.
  mx::cpu::CommandEncoder& begin_in_place(const Arrays& inputs, array& out, bool any_layout = false);

  // Which input has this name; nullptr if none.
  const array* named(const Arrays& inputs, const char* name) const;

  // For eval_cpu: x itself where it is row-major, else a row-major copy that this op's work will find made.
  array row_major(const array& x);
  Arrays row_major(const Arrays& x);

 private:
  Arrays plain(const Arrays& inputs);

  const char* name_;
  Options options_;
  Names names_;
};

// Whether the kernels take these arrays: float32, float16 or bfloat16, and none of them empty.
bool for_us(const Arrays& arrays);

// How x, which is one of them, is stored.
Dtype storage(const array& x);

// As float32; x itself where it is so already.
array single(const array& x, mx::Stream s);

} // namespace ptm
