// The BLAS symbols that libmlx.so imports, over scipy-openblas32 (whose own names all begin with scipy_).
//
// Loaded with RTLD_GLOBAL before libmlx.so, these take the place of the reference BLAS in MLX's wheel.
// OpenBLAS itself runs on one thread: the work is cut here and shared out by the pool that the kernels use too,
// so that two sets of threads never fight for the cores.

#include <dlfcn.h>

#include <cstdint>

#include "pool.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

enum { RowMajor = 101, ColMajor = 102, NoTrans = 111, Trans = 112 };

using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
using Dgemm = void (*)(int, int, int, int, int, int, double, const double*, int, const double*, int, double, double*, int);
using Cgemm = void (*)(int, int, int, int, int, int, const void*, const void*, int, const void*, int, const void*, void*, int);
using Sgemv = void (*)(int, int, int, int, float, const float*, int, const float*, int, float, float*, int);

struct OpenBlas {
  Sgemm sgemm;
  Dgemm dgemm;
  Cgemm cgemm;
  Sgemv sgemv;
};
OpenBlas blas{};

constexpr int64_t min_block = 64;
constexpr double min_work = 2e6; // multiply-adds in one job

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Cuts a rows × cols result into jobs whose size depends on the shape only, never on the number of threads.
template <class F>
void blocks(int64_t rows, int64_t cols, int64_t depth, const F& body) {
  int64_t block_rows = rows, block_cols = cols;
  auto work = [&](int64_t r, int64_t c) { return (double)r * c * depth; };
  int64_t jobs = 1;
  while (jobs < 8 && work(block_rows, block_cols) > 2 * min_work) {
    int64_t& longest = block_rows >= block_cols ? block_rows : block_cols;
    if (longest < 2 * min_block) break;
    longest = round_up((longest + 1) / 2, min_block);
    jobs *= 2;
  }
  const int64_t down = (rows + block_rows - 1) / block_rows, across = (cols + block_cols - 1) / block_cols;
  ptm::parallel(down * across, [&](int64_t i) {
    const int64_t r = i / across * block_rows, c = i % across * block_cols;
    body(r, c, r + block_rows < rows ? block_rows : rows - r, c + block_cols < cols ? block_cols : cols - c);
  });
}

// Column-major is row-major with the operands exchanged; below, everything is row-major.
template <class T, class Scale, class Gemm>
void gemm(Gemm call, int order, int ta, int tb, int m, int n, int k, Scale alpha, const T* a, int lda, const T* b,
          int ldb, Scale beta, T* c, int ldc) {
  if (order == ColMajor) return gemm(call, RowMajor, tb, ta, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc);
  blocks(m, n, k, [&](int64_t r, int64_t col, int64_t rows, int64_t cols) {
    call(RowMajor, ta, tb, rows, cols, k, alpha, a + (ta == NoTrans ? r * lda : r), lda,
         b + (tb == NoTrans ? col : col * ldb), ldb, beta, c + r * ldc + col, ldc);
  });
}

} // namespace

// Opens scipy-openblas32's library. Returns nullptr, or what is wrong.
EXPORT const char* ptm_blas_open(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return dlerror();
  OpenBlas found{(Sgemm)dlsym(library, "scipy_cblas_sgemm"), (Dgemm)dlsym(library, "scipy_cblas_dgemm"),
                 (Cgemm)dlsym(library, "scipy_cblas_cgemm"), (Sgemv)dlsym(library, "scipy_cblas_sgemv")};
  auto set_threads = (void (*)(int))dlsym(library, "scipy_openblas_set_num_threads");
  if (!found.sgemm || !found.dgemm || !found.cgemm || !found.sgemv || !set_threads)
    return "this library has no scipy_cblas_* symbols";
  set_threads(1);
  blas = found;
  return nullptr;
}

EXPORT void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda,
                        const float* b, int ldb, float beta, float* c, int ldc) {
  if (order == RowMajor && m == 1 && ta == NoTrans) { // decoding: one row times a weight
    blocks(1, n, k, [&](int64_t, int64_t col, int64_t, int64_t cols) {
      const bool plain = tb == NoTrans;
      blas.sgemv(RowMajor, plain ? Trans : NoTrans, plain ? k : cols, plain ? cols : k, alpha,
                 b + (plain ? col : col * ldb), ldb, a, 1, beta, c + col, 1);
    });
    return;
  }
  gemm(blas.sgemm, order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

EXPORT void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double* a, int lda,
                        const double* b, int ldb, double beta, double* c, int ldc) {
  gemm(blas.dgemm, order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

EXPORT void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int lda,
                        const void* b, int ldb, const void* beta, void* c, int ldc) {
  blas.cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
