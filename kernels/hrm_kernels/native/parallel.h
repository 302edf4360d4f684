// Work shared among the threads that XLA lends.

#ifndef HRM_KERNELS_PARALLEL_H_
#define HRM_KERNELS_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "xla/ffi/api/ffi.h"

namespace hrm {

// Calls `body(i)` for every i below `count`, on this thread and those of the pool that are free.
// This thread takes whatever no other has begun, so that it waits for no task that may never run.
template <typename Body>
void Parallel(xla::ffi::ThreadPool& pool, int64_t count, const Body& body) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> done{0};
  };
  const auto shared = std::make_shared<Shared>();
  // A task may begin after this function has returned; then nothing is left, and `body` is not
  // touched.
  const auto work = [shared, count, &body] {
    for (int64_t i = shared->next++; i < count; i = shared->next++) {
      body(i);
      shared->done.fetch_add(1, std::memory_order_release);
    }
  };
  const int64_t helpers = std::min(pool.num_threads(), count) - 1;
  for (int64_t helper = 0; helper < helpers; ++helper) {
    auto task = work;
    pool.Schedule(std::move(task));
  }
  work();
  while (shared->done.load(std::memory_order_acquire) < count) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace hrm

#endif  // HRM_KERNELS_PARALLEL_H_
