#include "simd/isa.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ptm {

#if defined(__x86_64__)
namespace {

// Whether the processor has tiles of bfloat16 and Linux lets this process use them, for which it must ask once.
bool can_use_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool tiles = (d >> 24 & 1) && (d >> 22 & 1); // AMX-TILE and AMX-BF16
  if (!tiles || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return false; // AVX512-BF16
  constexpr long ask_permission = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
}

} // namespace
#endif

int isa_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The features that tell x86-64-v3 and -v4 from older processors, by names that clang 16 knows too.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  int level = v4 ? 2 : v3 ? 1 : 0, limit = amx_level;
  if (const char* setting = std::getenv("PYTORCH_TO_MLX_ISA")) {
    const auto starts = [setting](const char* name) { return !std::strncmp(setting, name, std::strlen(name)); };
    limit = starts("base") ? 0 : starts("avx2") ? 1 : starts("avx512") ? 2 : limit;
  }
  if (limit < level) return limit;
  static const bool has_tiles = can_use_tiles();
  return level == 2 && limit == amx_level && has_tiles ? amx_level : level;
#else
  return 0;
#endif
}

bool has_vnni() {
#if defined(__x86_64__)
  const char* setting = std::getenv("PYTORCH_TO_MLX_ISA");
  if (setting && !std::strstr(setting, "vnni")) return false;
  const int level = isa_level();
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (level >= 2) return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 11 & 1); // AVX512-VNNI
  return level == 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1); // AVX-VNNI
#else
  return false;
#endif
}

bool has_int8_tiles() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return isa_level() == amx_level && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 25 & 1);
#else
  return false;
#endif
}

} // namespace ptm
