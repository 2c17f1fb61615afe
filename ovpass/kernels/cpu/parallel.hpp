// Work on the threads that OpenVINO gave the inference.
#pragma once
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstddef>

namespace vector_quantized {

inline size_t threads() { return static_cast<size_t>(tbb::this_task_arena::max_concurrency()); }

// Calls work(i) for each i below count. What an i does depends on nothing but i, so results do not vary.
template <typename Work>
void for_each(size_t count, const Work& work) {
    if (count == 1) return work(size_t(0));
    tbb::parallel_for(
        tbb::blocked_range<size_t>(0, count, 1),
        [&](const tbb::blocked_range<size_t>& range) {
            for (size_t i = range.begin(); i < range.end(); i++) work(i);
        },
        tbb::simple_partitioner());
}

}  // namespace vector_quantized
