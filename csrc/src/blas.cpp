// The BLAS symbol that libmlx.so calls for float32. Opened with RTLD_GLOBAL before libmlx.so, this library takes the
// place of the reference BLAS in MLX's wheel; float64 and complex products stay there.

#include "matmul.h"

extern "C" PTM_EXPORT void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda,
                                       const float* b, int ldb, float beta, float* c, int ldc) {
  enum { ColMajor = 102, NoTrans = 111 };
  const bool at = ta != NoTrans, bt = tb != NoTrans;
  if (order == ColMajor) // the same numbers as a row-major product with the operands exchanged
    ptm::sgemm(bt, at, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc);
  else
    ptm::sgemm(at, bt, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
