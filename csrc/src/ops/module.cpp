// The Python module pytorch_to_mlx_cpu._cpu.
#include "mlx/compile.h"
#include "mlx/version.h"
#include "ops/bind.h"
#include "pool.h"
#include "simd/isa.h"

NB_MODULE(_cpu, m) {
  m.attr("mlx_version") = MLX_VERSION_NUMERIC;
#if defined(__x86_64__)
  m.attr("isa") = std::vector<std::string>{"SSE4.2", "AVX2", "AVX-512", "AMX"}[ptm::isa_level()];
#else
  m.attr("isa") = "NEON";
#endif
  m.def("threads", &ptm_threads);
  m.def("set_threads", &ptm_set_threads, "threads"_a);
  m.def("set_fusion", [](bool on) { mlx::core::set_compile_mode(on ? mlx::core::CompileMode::enabled : mlx::core::CompileMode::no_fuse); },
        "on"_a);  // of mx.compile: fused operations are built by a C++ compiler at run time
  ptm::bind_op(m);
  ptm::bind_arithmetic(m);
  ptm::bind_attention(m);
  ptm::bind_channels(m);
  ptm::bind_conv1d(m);
  ptm::bind_conv2d(m);
  ptm::bind_linear(m);
  ptm::bind_lstm(m);
  ptm::bind_rotate(m);
  ptm::bind_rows(m);
  ptm::bind_snake(m);
  ptm::bind_topk(m);
  ptm::bind_unary(m);
}
