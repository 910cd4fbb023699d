#include "simd/isa.h"

#include <cstdlib>
#include <cstring>

namespace ptm {

int isa_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Of x86-64-v3 and -v4, what tells them from older processors, in names that clang 16 knows too.
#define HAS(feature) __builtin_cpu_supports(feature)
  const bool v3 = HAS("avx2") && HAS("fma") && HAS("bmi") && HAS("bmi2");
  const bool v4 = v3 && HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") && HAS("avx512vl");
#undef HAS
  int level = v4 ? 2 : v3 ? 1 : 0;
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
