#include "simd/isa.h"

#include <cstdlib>
#include <cstring>

namespace ptm {

int isa_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The features that tell x86-64-v3 and -v4 from older processors, by names that clang 16 knows too.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  int level = v4 ? 2 : v3 ? 1 : 0;
  if (const char* setting = std::getenv("PYTORCH_TO_MLX_ISA")) {
    const int limit = !std::strcmp(setting, "base") ? 0 : !std::strcmp(setting, "avx2") ? 1 : 2;
    if (limit < level) level = limit;
  }
  return level;
#else
  return 0;
#endif
}

} // namespace ptm
