// The Python module pytorch_to_mlx_cpu._cpu.
#include <cstdlib>
#include <cstring>

#include "mlx/version.h"
#include "ops/bind.h"
#include "pool.h"
#include "simd/isa.h"

namespace ptm {

int isa_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int level = __builtin_cpu_supports("x86-64-v4") ? 2 : __builtin_cpu_supports("x86-64-v3") ? 1 : 0;
  if (const char* wanted = std::getenv("PYTORCH_TO_MLX_ISA")) {
    const int asked = !std::strcmp(wanted, "base") ? 0 : !std::strcmp(wanted, "avx2") ? 1 : 2;
    if (asked < level) level = asked;
  }
  return level;
#else
  return 0;
#endif
}

} // namespace ptm

NB_MODULE(_cpu, m) {
  m.attr("mlx_version") = MLX_VERSION_NUMERIC;
#if defined(__x86_64__)
  m.attr("isa") = std::vector<std::string>{"SSE4.2", "AVX2", "AVX-512"}[ptm::isa_level()];
#else
  m.attr("isa") = "NEON";
#endif
  m.def("threads", &ptm_threads);
  m.def("set_threads", &ptm_set_threads, "threads"_a);
  ptm::bind_snake(m);
}
