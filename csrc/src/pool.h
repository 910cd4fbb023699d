// One thread pool for the whole process: the BLAS and every kernel share it, so they never compete for cores.
#pragma once
#include <cstdint>

extern "C" {
// Calls job(context, i) once for every i in [0, jobs), on all threads, and returns when all are done.
// Any thread may run any index: what a job computes may depend on its index only.
// From inside a job, or while another thread holds the pool, the jobs run on the calling thread.
void ptm_parallel(int64_t jobs, void (*job)(void* context, int64_t index), void* context);

int ptm_threads();
void ptm_set_threads(int threads);
}

namespace ptm {

// parallel(n, [&](int64_t i) { … });
template <class F>
void parallel(int64_t jobs, const F& body) {
  ptm_parallel(
      jobs, [](void* context, int64_t i) { (*static_cast<const F*>(context))(i); }, const_cast<F*>(&body));
}

// Divides [0, n) into pieces of `grain` and calls body(begin, end). The pieces do not depend on the number of threads.
template <class F>
void parallel_ranges(int64_t n, int64_t grain, const F& body) {
  const int64_t jobs = (n + grain - 1) / grain;
  parallel(jobs, [&](int64_t i) { body(i * grain, i * grain + grain < n ? i * grain + grain : n); });
}

} // namespace ptm
