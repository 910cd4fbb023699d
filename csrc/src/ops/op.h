// The base of our MLX primitives, and what they share.
#pragma once
#include <functional>

#include "mlx/mlx.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"

namespace ptm {

namespace mx = mlx::core;
using mx::array;
using mx::Shape;
using Arrays = std::vector<array>;
using Fallback = std::function<Arrays(const Arrays&)>;

// A primitive on the CPU. Gradients, jvp and vmap come from `fallback`, the same function written with MLX's own ops.
class Op : public mx::Primitive {
 public:
  Op(mx::Stream stream, Fallback fallback) : Primitive(stream), fallback_(std::move(fallback)) {}

  void eval_gpu(const Arrays&, Arrays&) override { throw std::runtime_error("pytorch_to_mlx_cpu runs on the CPU only"); }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override;
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 protected:
  // Allocates `out` (row-major) and returns where to send the work: begin(inputs, out).dispatch([raw pointers] { … }).
  // MLX keeps inputs and outputs alive until it has run.
  mx::cpu::CommandEncoder& begin(const Arrays& inputs, array& out);

  Fallback fallback_;
};

// Row-major float32, as the kernels want it; no copy where it is so already.
array dense(const array& x, mx::StreamOrDevice s);

} // namespace ptm
