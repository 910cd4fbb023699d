// Declares each kernel once, and picks the variant for this processor at run time.
//
// A kernel is a function of raw pointers in namespace ptm::PTM_ISA. Its header says
//     PTM_KERNEL(void, snake, const float* x, const float* alpha, float* y, int64_t rows, int64_t channels)
// and callers outside src/simd use ptm::snake(…). Files in src/simd include no C++ library headers with inline
// functions: the linker would keep one copy of such a function, perhaps with instructions that this processor lacks.
#pragma once
#include <stdint.h>

#if defined(__x86_64__)
#define PTM_DECLARE(result, name, ...)             \
  namespace base { result name(__VA_ARGS__); }     \
  namespace avx2 { result name(__VA_ARGS__); }     \
  namespace avx512 { result name(__VA_ARGS__); }
#define PTM_PICK(name) ::ptm::pick(&base::name, &avx2::name, &avx512::name)
#else
#define PTM_DECLARE(result, name, ...) namespace base { result name(__VA_ARGS__); }
#define PTM_PICK(name) (&base::name)
#endif

#ifdef PTM_ISA
#define PTM_KERNEL(result, name, ...) namespace ptm { PTM_DECLARE(result, name, __VA_ARGS__) }
#else
#define PTM_KERNEL(result, name, ...)              \
  namespace ptm {                                  \
  PTM_DECLARE(result, name, __VA_ARGS__)           \
  inline const auto name = PTM_PICK(name);         \
  }
namespace ptm {
// 0 baseline, 1 AVX2 and FMA, 2 AVX-512, 3 AVX-512 with AMX tiles for bfloat16. PYTORCH_TO_MLX_ISA=base|avx2|avx512 lowers
// it (for tests); avx2-vnni and avx512-vnni leave VNNI.
constexpr int amx_level = 3;
__attribute__((visibility("default"))) int isa_level();
// Whether this level of the processor has products of bytes: VNNI for vectors, AMX-INT8 for tiles.
__attribute__((visibility("default"))) bool has_vnni();
__attribute__((visibility("default"))) bool has_int8_tiles();
template <class F>
F pick(F base, F avx2, F avx512) {
  const int level = isa_level();
  return level >= 2 ? avx512 : level == 1 ? avx2 : base;
}
} // namespace ptm
#endif
