// Appends tokens to a cache and attends from them, for CPUs: `native_cached.py` is its caller.
//
// Each query takes its keys in one order, in blocks that begin at fixed positions, whatever other
// queries there are: what it gives depends on its own keys alone.

#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <cstring>
#include <utility>

#include "parallel.h"
#include "vectors.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using namespace hrm;

constexpr int64_t kBlock = 32;    // keys whose weights are computed together
constexpr int64_t kMostSize = 256;  // of a head
constexpr int kQueries = 4;       // queries that share what is read of a key
constexpr int64_t kLittle = 1 << 16;  // multiplications for which other threads are not woken

typedef std::make_integer_sequence<int32_t, kLanes> AllLanes;

// Returns the sums of lanes i and i ^ kDistance: of `first` in the lanes i whose bit kDistance is
// clear, of `second` in the others.
template <int kDistance, int32_t... kLane>
Floats AddPairs(Floats first, Floats second, std::integer_sequence<int32_t, kLane...>) {
  const Floats low =
      ChooseLanes<((kLane & kDistance ? kLanes : 0) + (kLane & ~kDistance))...>(first, second);
  const Floats high =
      ChooseLanes<((kLane & kDistance ? kLanes : 0) + (kLane | kDistance))...>(first, second);
  return low + high;
}

template <int kDistance>
Floats AddPairs(Floats first, Floats second) {
  return AddPairs<kDistance>(first, second, AllLanes());
}

// Returns the larger ones of lanes i and i ^ kDistance.
template <int kDistance, int32_t... kLane>
Floats LargerOfPairs(Floats x, std::integer_sequence<int32_t, kLane...>) {
  const Floats turned = ChooseLanes<(kLane ^ kDistance)...>(x, x);
  return turned > x ? turned : x;
}

float Largest(Floats x) {
  x = LargerOfPairs<8>(x, AllLanes());
  x = LargerOfPairs<4>(x, AllLanes());
  x = LargerOfPairs<2>(x, AllLanes());
  return LargerOfPairs<1>(x, AllLanes())[0];
}

// Returns the sums over all lanes of sixteen vectors, that of vector i in lane i.
Floats SumEach(const Floats* vectors) {
  Floats eight[8], four[4], two[2];
  for (int i = 0; i < 8; ++i) eight[i] = AddPairs<1>(vectors[2 * i], vectors[2 * i + 1]);
  for (int i = 0; i < 4; ++i) four[i] = AddPairs<2>(eight[2 * i], eight[2 * i + 1]);
  for (int i = 0; i < 2; ++i) two[i] = AddPairs<4>(four[2 * i], four[2 * i + 1]);
  return AddPairs<8>(two[0], two[1]);
}

float Sum(Floats x) {
  x = AddPairs<8>(x, x);
  x = AddPairs<4>(x, x);
  x = AddPairs<2>(x, x);
  return AddPairs<1>(x, x)[0];
}

// Returns e^x for x <= 0, within 2e-7 of its size; 0 below -87.
Floats Exponential(Floats x) {
  const Floats least = Broadcast(-87.0f);
  const Ints too_small = x < least;
  x = too_small ? least : x;
  // e^x = 2^n e^r, where r is at most log(2) / 2 in size.
  const Floats magic = Broadcast(0x1.8p23f);
  const Floats n = (x * 1.44269504f + magic) - magic;
  Floats r = MultiplyAdd(n, Broadcast(-0.693359375f), x);
  r = MultiplyAdd(n, Broadcast(2.12194440e-4f), r);
  Floats series = Broadcast(1.0f / 720);
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f}) {
    series = MultiplyAdd(series, r, Broadcast(coefficient));
  }
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return too_small ? Floats{} : series * (Floats)power;
}

struct Problem {
  const float* query;      // [batch, tokens, query heads, size]
  const float* new_key;    // [batch, tokens, key heads, size]
  const float* new_value;  // likewise
  const int32_t* lengths;  // [batch], tokens in the cache before the new ones
  const int32_t* places;   // [batch], rows of the cache
  float* out;              // as the queries
  float* key;              // [rows of the cache, keys, key heads, size]
  float* value;            // likewise
  int64_t tokens, query_heads, key_heads, size, keys;
  int64_t window;          // tokens that each one sees; 0 for all
  float scale;

  int64_t shared() const { return query_heads / key_heads; }
  int64_t stride() const { return key_heads * size; }
};

// Writes the new tokens of one row behind those it has, as far as there is room.
void Append(const Problem& problem, int64_t row) {
  const int64_t stride = problem.stride();
  const int64_t length = problem.lengths[row];
  const int64_t count = std::clamp<int64_t>(problem.keys - length, 0, problem.tokens);
  const int64_t from = row * problem.tokens * stride;
  const int64_t to = (problem.places[row] * problem.keys + length) * stride;
  const size_t bytes = count * stride * sizeof(float);
  std::memcpy(problem.key + to, problem.new_key + from, bytes);
  std::memcpy(problem.value + to, problem.new_value + from, bytes);
}

// The state of one query: what it has attended to so far.
struct Progress {
  float largest = -FLT_MAX;
  float total = 0;
  int64_t first, end;
  Floats sum[kMostSize / kLanes] = {};
};

// Returns the dot products of four queries and four keys: lane 4 q + k.
Floats Scores(const float* const* queries, const float* keys, int64_t stride, int64_t size) {
  Floats sums[kLanes] = {};
  for (int64_t i = 0; i < size; i += kLanes) {
    Floats key[4];
    for (int k = 0; k < 4; ++k) key[k] = Load<Floats>(keys + k * stride + i);
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      const Floats query = Load<Floats>(queries[q] + i);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) sums[4 * q + k] = MultiplyAdd(query, key[k], sums[4 * q + k]);
    }
  }
  return SumEach(sums);
}

// Turns the scores of a block into weights, and shrinks what was summed before to their measure.
void Weigh(float* scores, int64_t begin, float scale, int64_t parts, Progress& one) {
  const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Floats most = Broadcast(one.largest);
  for (int64_t i = 0; i < kBlock; i += kLanes) {
    const Ints position = lanes + static_cast<int32_t>(begin + i);
    const Ints seen = (position >= static_cast<int32_t>(one.first)) &
                      (position < static_cast<int32_t>(one.end));
    const Floats scaled = seen ? Load<Floats>(scores + i) * scale : Broadcast(-FLT_MAX);
    std::memcpy(scores + i, &scaled, sizeof(scaled));
    most = scaled > most ? scaled : most;
  }
  const float largest = Largest(most);
  const float shrink = Exponential(Broadcast(one.largest - largest))[0];
  Floats total = {};
  for (int64_t i = 0; i < kBlock; i += kLanes) {
    const Floats weights = Exponential(Load<Floats>(scores + i) - largest);
    std::memcpy(scores + i, &weights, sizeof(weights));
    total += weights;
  }
  one.largest = largest;
  one.total = one.total * shrink + Sum(total);
  for (int64_t part = 0; part < parts; ++part) one.sum[part] *= shrink;
}

// Attends from up to four of the queries that share a key head: query i is token i % tokens of
// query head i / tokens among them.
void Attend(const Problem& problem, int64_t row, int64_t head, int64_t begin) {
  const int64_t stride = problem.stride();
  const int64_t parts = problem.size / kLanes;
  const int64_t all = problem.shared() * problem.tokens;
  const int64_t count = std::min<int64_t>(kQueries, all - begin);
  Progress progress[kQueries];
  const float* queries[kQueries];
  int64_t first = problem.keys;
  int64_t end = 0;
  for (int q = 0; q < kQueries; ++q) {
    // Where there are fewer than four, the last one is repeated.
    const int64_t i = begin + std::min<int64_t>(q, count - 1);
    const int64_t token = i % problem.tokens;
    const int64_t query_head = head * problem.shared() + i / problem.tokens;
    const int64_t at = (row * problem.tokens + token) * problem.query_heads + query_head;
    queries[q] = problem.query + at * problem.size;
    const int64_t seen = problem.lengths[row] + token + 1;
    progress[q].first = problem.window > 0 ? std::max<int64_t>(0, seen - problem.window) : 0;
    progress[q].end = std::min(seen, problem.keys);
    if (progress[q].first >= progress[q].end) continue;
    first = std::min(first, progress[q].first);
    end = std::max(end, progress[q].end);
  }
  const int64_t origin = problem.places[row] * problem.keys * stride + head * problem.size;
  for (int64_t block = first / kBlock * kBlock; block < end; block += kBlock) {
    const float* keys = problem.key + origin + block * stride;
    const float* values = problem.value + origin + block * stride;
    // Four numbers more stand before the block's own; nobody reads them.
    float room[kQueries][4 + kBlock];
    float* scores[kQueries];
    for (int q = 0; q < kQueries; ++q) scores[q] = room[q] + 4;
    const int64_t there = std::min(kBlock, problem.keys - block);
    for (int64_t k = 0; k < kBlock; k += 4) {
      if (k >= there) break;
      // Where fewer than four keys are left of the cache, some before them are read again, if need
      // be of the block before.
      const int64_t from = std::min(k, there - 4);
      const Floats four = Scores(queries, keys + from * stride, stride, problem.size);
      for (int q = 0; q < kQueries; ++q) {
        const float* own = reinterpret_cast<const float*>(&four) + 4 * q;
        std::memcpy(scores[q] + from, own, 4 * sizeof(float));
      }
    }
    // Values that no query sees may be anything, and are not read.
    const int64_t from = std::max<int64_t>(0, first - block);
    const int64_t to = std::min(kBlock, end - block);
    for (int q = 0; q < count; ++q) {
      Progress& one = progress[q];
      if (one.first >= block + kBlock || one.end <= block) continue;
      Weigh(scores[q], block, problem.scale, parts, one);
      for (int64_t part = 0; part < parts; ++part) {
        Floats sum = one.sum[part];
        for (int64_t k = std::max(from, one.first - block); k < std::min(to, one.end - block); ++k) {
          const Floats value = Load<Floats>(values + k * stride + part * kLanes);
          sum = MultiplyAdd(value, Broadcast(scores[q][k]), sum);
        }
        one.sum[part] = sum;
      }
    }
  }
  for (int q = 0; q < count; ++q) {
    float* out = problem.out + (queries[q] - problem.query);
    const float share = progress[q].total > 0 ? 1 / progress[q].total : 0;
    for (int64_t part = 0; part < parts; ++part) {
      const Floats scaled = progress[q].sum[part] * share;
      std::memcpy(out + part * kLanes, &scaled, sizeof(scaled));
    }
  }
}

ffi::Error CachedAttention(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> query,
                           ffi::Buffer<ffi::F32> new_key, ffi::Buffer<ffi::F32> new_value,
                           ffi::Buffer<ffi::F32> key, ffi::Buffer<ffi::F32> value,
                           ffi::Buffer<ffi::S32> lengths, ffi::Buffer<ffi::S32> places,
                           ffi::ResultBuffer<ffi::F32> out,
                           ffi::ResultBuffer<ffi::F32> key_after,
                           ffi::ResultBuffer<ffi::F32> value_after, int64_t window, float scale) {
  // XLA gives the cache's memory to the results, and copies it before if somebody else needs it.
  if (key.typed_data() != key_after->typed_data() ||
      value.typed_data() != value_after->typed_data()) {
    return ffi::Error::Internal("expected the cache and its results in the same memory");
  }
  const auto sizes = query.dimensions();
  const int64_t rows = sizes[0];
  const Problem problem = {query.typed_data(),
                           new_key.typed_data(),
                           new_value.typed_data(),
                           lengths.typed_data(),
                           places.typed_data(),
                           out->typed_data(),
                           key_after->typed_data(),
                           value_after->typed_data(),
                           sizes[1],
                           sizes[2],
                           new_key.dimensions()[2],
                           sizes[3],
                           key.dimensions()[1],
                           window,
                           scale};
  const int64_t all = problem.shared() * problem.tokens;
  const int64_t groups = (all + kQueries - 1) / kQueries;
  int64_t seen = 0;
  for (int64_t row = 0; row < rows; ++row) {
    Append(problem, row);
    seen += std::min(problem.lengths[row] + problem.tokens, problem.keys);
  }
  const int64_t count = rows * problem.key_heads * groups;
  const auto attend = [&](int64_t i) {
    const int64_t head = i / groups % problem.key_heads;
    Attend(problem, i / groups / problem.key_heads, head, i % groups * kQueries);
  };
  if (seen * all * problem.stride() < kLittle) {
    for (int64_t i = 0; i < count; ++i) attend(i);
  } else {
    Parallel(pool, count, attend);
  }
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(HrmCachedAttention, CachedAttention,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int64_t>("window")
                                  .Attr<float>("scale"));
