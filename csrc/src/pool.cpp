#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

namespace {

#define EXPORT __attribute__((visibility("default")))

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until the value differs from `old`: first spinning (the next op often comes within microseconds), then asleep.
uint32_t wait_change(std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < 4000; i++) {
    if (uint32_t now = word.load(std::memory_order_acquire); now != old) return now;
    relax();
  }
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

int allowed_cores() {
  cpu_set_t set;
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)std::thread::hardware_concurrency();
  std::ifstream quota("/sys/fs/cgroup/cpu.max"); // a container's share: "200000 100000" is two cores
  std::string limit;
  double period = 0;
  if (quota >> limit >> period && limit != "max" && period > 0) {
    const int share = (int)(std::atof(limit.c_str()) / period + 0.5);
    if (share < cores) cores = share;
  }
  return cores < 1 ? 1 : cores;
}

int configured_threads() {
  for (const char* name : {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
    const char* value = std::getenv(name);
    if (value && std::atoi(value) > 0) return std::atoi(value) < 256 ? std::atoi(value) : 256;
  }
  return allowed_cores();
}

struct Pool {
  std::mutex owner; // held by the thread whose jobs are running
  std::atomic<uint32_t> round{0}; // changes when there is work
  std::atomic<int64_t> unclaimed{0}; // jobs that no thread has taken yet; none if zero or less
  std::atomic<uint32_t> finished{0}; // jobs done in this round
  // The three below are written before `unclaimed` and do not change until every claimed job is finished, so a thread that
  // has claimed a job may read them. A worker that wakes late finds nothing unclaimed, or helps with the next round.
  int64_t jobs = 0;
  void (*job)(void*, int64_t) = nullptr;
  void* context = nullptr;
  std::atomic<int> helpers{0}; // workers that take part
  int workers = 0; // threads that were started, the caller not counted
  int threads = configured_threads();
};

Pool* pool = new Pool; // never destroyed: workers may outlive static destructors
thread_local bool inside = false;

void take_jobs(Pool* mine) {
  for (;;) {
    const int64_t left = mine->unclaimed.fetch_sub(1, std::memory_order_acq_rel);
    if (left <= 0) return;
    const int64_t jobs = mine->jobs;
    mine->job(mine->context, jobs - left);
    if (mine->finished.fetch_add(1, std::memory_order_acq_rel) + 1 == (uint32_t)jobs) mine->finished.notify_one();
  }
}

void work(Pool* mine, int id, uint32_t seen) {
  inside = true;
  for (;;) {
    seen = wait_change(mine->round, seen);
    if (id < mine->helpers.load(std::memory_order_relaxed)) take_jobs(mine);
  }
}

// A forked child has none of the workers: it starts with a fresh pool.
[[maybe_unused]] const int at_fork = pthread_atfork(nullptr, nullptr, [] {
  const int threads = pool->threads;
  pool = new Pool;
  pool->threads = threads;
  inside = false;
});

} // namespace

extern "C" {

EXPORT int ptm_threads() { return pool->threads; }

EXPORT void ptm_set_threads(int threads) {
  const std::lock_guard lock(pool->owner);
  pool->threads = threads < 1 ? 1 : threads;
}

EXPORT void ptm_parallel(int64_t jobs, void (*job)(void*, int64_t), void* context) {
  std::unique_lock lock(pool->owner, std::defer_lock);
  const int needed = (int)(jobs < pool->threads ? jobs : pool->threads);
  if (needed < 2 || inside || !lock.try_lock()) {
    for (int64_t i = 0; i < jobs; i++) job(context, i);
    return;
  }
  while (pool->workers < needed - 1) {
    std::thread(work, pool, pool->workers, pool->round.load()).detach();
    pool->workers++;
  }
  pool->job = job;
  pool->context = context;
  pool->jobs = jobs;
  pool->helpers.store(needed - 1, std::memory_order_relaxed);
  pool->finished.store(0, std::memory_order_relaxed);
  pool->unclaimed.store(jobs, std::memory_order_release);
  pool->round.fetch_add(1, std::memory_order_release);
  pool->round.notify_all();
  inside = true;
  take_jobs(pool);
  inside = false;
  for (uint32_t done = pool->finished.load(std::memory_order_acquire); done != (uint32_t)jobs;)
    done = wait_change(pool->finished, done);
}

} // extern "C"
