#include "simd/isa.h"

#include <cstdlib>
#include <cstring>

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
