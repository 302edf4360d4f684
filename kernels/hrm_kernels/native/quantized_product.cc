// The product of float32 activations and a quantised matrix, for CPUs: `quantized.py` defines the
// format.
//
// Activations are rounded to 8 bits, a group of inputs at a time, and multiplied as integers, 16
// outputs at once. What a row gives depends on that row alone: each of its sums is taken in one
// order, however many rows there are and whichever thread takes them.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "parallel.h"
#include "vectors.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using namespace hrm;

constexpr int64_t kUnit = 256;   // inputs that share a unit of their scales
constexpr int kMostRows = 8;     // rows for which codes are unpacked once
constexpr int64_t kAhead = 512;  // words; by itself the processor does not fetch across pages

// Adds to each lane the dot product of its four codes, unsigned and below 128, and four int8.
HRM_INLINE Ints DotOfSeven(Ints sum, Words codes, int32_t activations) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, _mm512_set1_epi32(activations));
#elif defined(__AVX2__)
  __m256i halves[2], sums[2];
  std::memcpy(halves, &codes, sizeof(codes));
  std::memcpy(sums, &sum, sizeof(sum));
  const __m256i repeated = _mm256_set1_epi32(activations);
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    // Pairs of products stay below 2^15, as the codes are below 128.
    const __m256i pairs = _mm256_maddubs_epi16(halves[half], repeated);
    sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  std::memcpy(&sum, sums, sizeof(sum));
  return sum;
#elif defined(__ARM_FEATURE_DOTPROD)
  int8x16_t quarters[4];
  int32x4_t sums[4];
  std::memcpy(quarters, &codes, sizeof(codes));
  std::memcpy(sums, &sum, sizeof(sum));
  const int8x16_t repeated = vreinterpretq_s8_s32(vdupq_n_s32(activations));
#pragma GCC unroll 4
  for (int quarter = 0; quarter < 4; ++quarter) {
    sums[quarter] = vdotq_s32(sums[quarter], quarters[quarter], repeated);
  }
  std::memcpy(&sum, sums, sizeof(sum));
  return sum;
#else
  for (int byte = 0; byte < 4; ++byte) {
    const int32_t activation = static_cast<int8_t>(activations >> (8 * byte));
    sum += (Ints)((codes >> (8 * byte)) & 0xffu) * activation;
  }
  return sum;
#endif
}

// As `DotOfSeven`, for codes of 8 bits.
HRM_INLINE Ints DotOfEight(Ints sum, Words codes, int32_t activations) {
#if defined(__AVX512VNNI__)
  return DotOfSeven(sum, codes, activations);
#else
  const Ints upper = DotOfSeven(Ints{}, (codes >> 1) & 0x7f7f7f7fu, activations);
  return DotOfSeven(sum + 2 * upper, codes & 0x01010101u, activations);
#endif
}

// Sets bits [shift, shift + kBits) of each byte from plane number `part` within a word.
template <int kBits>
Words Take(Words word, int part, int shift) {
  const uint32_t mask = ((1u << kBits) - 1) * 0x01010101u;
  return ((word >> (kBits * part)) & mask) << shift;
}

struct Matrix {
  const uint32_t* low;    // [panels, inputs * low bits / 32, 16]
  const uint32_t* high;   // likewise, of the high bits
  const void* scales;     // [panels, groups, 16], float16, or int8 with units
  const void* offsets;    // likewise
  const uint16_t* scale_units;   // [panels, inputs / 256, 16], float16
  const uint16_t* offset_units;
  int64_t inputs;
  int64_t panels;
};

// One kind of codes: a plane of 8 or 4 bits, and above it one of 0, 1 or 2.
template <int kLow_, int kHigh_, int kGroup_, bool kNested_, bool kOffset_>
struct Format {
  static constexpr int kLow = kLow_;
  static constexpr int kHigh = kHigh_;
  static constexpr int kGroup = kGroup_;
  static constexpr bool kNested = kNested_;
  static constexpr bool kOffset = kOffset_;
  static constexpr int32_t kZero = 1 << (kLow + kHigh - 1);
  static constexpr int kVectors = kGroup / 4;

  // Unpacks a group: `codes[v]` has inputs 4 v to 4 v + 3 of each of the 16 outputs.
  static void Unpack(const Matrix& matrix, int64_t panel, int64_t group, Words* codes) {
    constexpr int kPerWord = 8 / kLow;
    const int64_t first = (panel * matrix.inputs + group * kGroup) * kLow / 32;
    for (int v = 0; v < kVectors / kPerWord; ++v) {
      __builtin_prefetch(matrix.low + (first + v) * kLanes + kAhead);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Words word = Load<Words>(matrix.low + (first + v / kPerWord) * kLanes);
      codes[v] = kLow == 8 ? word : Take<kLow>(word, v % kPerWord, 0);
    }
    if constexpr (kHigh > 0) {
      constexpr int kPerHigh = 8 / kHigh;
      const int64_t above = (panel * matrix.inputs + group * kGroup) * kHigh / 32;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const Words word = Load<Words>(matrix.high + (above + v / kPerHigh) * kLanes);
        codes[v] |= Take<kHigh>(word, v % kPerHigh, kLow);
      }
    }
  }

  static Floats Factor(const void* factors, const uint16_t* units, const Matrix& matrix,
                       int64_t panel, int64_t group) {
    const int64_t at = (panel * (matrix.inputs / kGroup) + group) * kLanes;
    if constexpr (!kNested) return LoadHalf(static_cast<const uint16_t*>(factors) + at);
    const int64_t unit = panel * (matrix.inputs / kUnit) + group * kGroup / kUnit;
    return LoadInt8(static_cast<const int8_t*>(factors) + at) * LoadHalf(units + unit * kLanes);
  }

  HRM_INLINE static Ints Dot(Ints sum, Words codes, int32_t activations) {
    return kLow == 8 ? DotOfEight(sum, codes, activations) : DotOfSeven(sum, codes, activations);
  }
};

// Activations in 8 bits, a scale for each group, and what does not depend on the matrix.
struct Activations {
  std::vector<int32_t> codes;   // [rows, inputs / 4], four int8 in each
  std::vector<float> scales;    // [rows, groups]
  std::vector<int32_t> begins;  // [rows, groups], what a dot product of codes begins with
  std::vector<float> sums;      // [rows, groups], of the activations

  Activations(int64_t rows, int64_t inputs, int64_t groups)
      : codes(rows * inputs / 4),
        scales(rows * groups),
        begins(rows * groups),
        sums(rows * groups) {}
};

// Rounds the groups of one row.
template <typename Kind>
void Round(const float* x, int64_t row, int64_t groups, Activations& rounded) {
  constexpr int kGroup = Kind::kGroup;
  for (int64_t at = row * groups; at < (row + 1) * groups; ++at, x += kGroup) {
    int32_t* codes = rounded.codes.data() + at * Kind::kVectors;
    // Sizes of numbers are ordered as their bits are, read as integers; what is infinite or not a
    // number comes last.
    Ints largest = {};
    for (int part = 0; part < kGroup; part += kLanes) {
      const Ints sizes = Load<Ints>(x + part) & 0x7fffffff;
      largest = sizes > largest ? sizes : largest;
    }
    int32_t bits = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) bits = std::max<int32_t>(bits, largest[lane]);
    float most;
    std::memcpy(&most, &bits, sizeof(most));
    const bool finite = most <= std::numeric_limits<float>::max();
    const float inverse = finite && most > 0 ? 127 / most : 0;
    const float size = finite ? most / 127 : std::numeric_limits<float>::quiet_NaN();
    Ints sum = {};
    for (int part = 0; part < kGroup; part += kLanes) {
      // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even.
      const Floats magic = Broadcast(0x1.8p23f);
      const Floats scaled = finite ? Load<Floats>(x + part) * inverse : Floats{};
      const Ints rounded = __builtin_convertvector((scaled + magic) - magic, Ints);
      sum += rounded;
      StoreInt8(rounded, reinterpret_cast<int8_t*>(codes) + part);
    }
    int32_t total = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) total += sum[lane];
    rounded.scales[at] = size;
    rounded.begins[at] = Kind::kOffset ? 0 : -Kind::kZero * total;
    rounded.sums[at] = size * total;
  }
}

// Computes 16 outputs of kRows rows.
template <typename Kind, int kRows>
void Multiply(const Matrix& matrix, int64_t panel, const Activations& activations, int64_t row,
              float* out) {
  const int64_t groups = matrix.inputs / Kind::kGroup;
  Floats sums[kRows] = {};
  for (int64_t group = 0; group < groups; ++group) {
    Words codes[Kind::kVectors];
    Kind::Unpack(matrix, panel, group, codes);
    const int64_t first = row * groups + group;
    Ints dots[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) dots[r] = Ints{} + activations.begins[first + r * groups];
    // The rows take turns, as a sum waits for the one before it.
#pragma GCC unroll 8
    for (int v = 0; v < Kind::kVectors; ++v) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const int64_t at = (first + r * groups) * Kind::kVectors + v;
        dots[r] = Kind::Dot(dots[r], codes[v], activations.codes[at]);
      }
    }
    const Floats scale = Kind::Factor(matrix.scales, matrix.scale_units, matrix, panel, group);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float size = activations.scales[first + r * groups];
      sums[r] = MultiplyAdd(ToFloats(dots[r]), scale * size, sums[r]);
    }
    if constexpr (Kind::kOffset) {
      const Floats offset =
          Kind::Factor(matrix.offsets, matrix.offset_units, matrix, panel, group);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        sums[r] = MultiplyAdd(offset, Broadcast(activations.sums[first + r * groups]), sums[r]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    std::memcpy(out + ((row + r) * matrix.panels + panel) * kLanes, &sums[r], sizeof(Floats));
  }
}

template <typename Kind>
void MultiplyRows(const Matrix& matrix, int64_t panel, const Activations& activations,
                  int64_t rows, float* out) {
  int64_t row = 0;
  for (; row + kMostRows <= rows; row += kMostRows) {
    Multiply<Kind, kMostRows>(matrix, panel, activations, row, out);
  }
  if (rows - row >= 4) {
    Multiply<Kind, 4>(matrix, panel, activations, row, out);
    row += 4;
  }
  if (rows - row >= 2) {
    Multiply<Kind, 2>(matrix, panel, activations, row, out);
    row += 2;
  }
  if (rows - row == 1) Multiply<Kind, 1>(matrix, panel, activations, row, out);
}

template <typename Kind>
void Product(ffi::ThreadPool& pool, const Matrix& matrix, const float* x, int64_t rows,
             float* out) {
  const int64_t groups = matrix.inputs / Kind::kGroup;
  Activations activations(rows, matrix.inputs, groups);
  const auto round = [&](int64_t row) {
    Round<Kind>(x + row * matrix.inputs, row, groups, activations);
  };
  if (rows > kMostRows) {
    Parallel(pool, rows, round);
  } else {
    for (int64_t row = 0; row < rows; ++row) round(row);
  }
  // Several pieces for each thread, so that one that is held up does not hold up all.
  const int64_t pieces = std::min<int64_t>(matrix.panels, 8 * pool.num_threads());
  Parallel(pool, pieces, [&](int64_t piece) {
    const int64_t first = matrix.panels * piece / pieces;
    const int64_t end = matrix.panels * (piece + 1) / pieces;
    for (int64_t panel = first; panel < end; ++panel) {
      MultiplyRows<Kind>(matrix, panel, activations, rows, out);
    }
  });
}

using Run = void (*)(ffi::ThreadPool&, const Matrix&, const float*, int64_t, float*);

// Returns the function for a format, or null: those of GGUF files, by bits and group.
Run Choose(int64_t bits, int64_t group, bool nested, bool offset) {
  if (bits == 6 && group == 16 && nested && !offset) return Product<Format<4, 2, 16, true, false>>;
  if (group != 32) return nullptr;
  if (bits == 8 && !nested && !offset) return Product<Format<8, 0, 32, false, false>>;
  if (bits == 4 && !nested && !offset) return Product<Format<4, 0, 32, false, false>>;
  if (bits == 4 && !nested && offset) return Product<Format<4, 0, 32, false, true>>;
  if (bits == 4 && nested && offset) return Product<Format<4, 0, 32, true, true>>;
  if (bits == 5 && !nested && !offset) return Product<Format<4, 1, 32, false, false>>;
  if (bits == 5 && !nested && offset) return Product<Format<4, 1, 32, false, true>>;
  if (bits == 5 && nested && offset) return Product<Format<4, 1, 32, true, true>>;
  return nullptr;
}

ffi::Error QuantizedProduct(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x,
                            ffi::Buffer<ffi::U32> low, ffi::Buffer<ffi::U32> high,
                            ffi::AnyBuffer scales, ffi::AnyBuffer offsets,
                            ffi::AnyBuffer scale_units, ffi::AnyBuffer offset_units,
                            ffi::ResultBuffer<ffi::F32> out, int64_t bits, int64_t group) {
  const bool nested = scale_units.element_count() > 0;
  const bool offset = offsets.element_count() > 0;
  const Run run = Choose(bits, group, nested, offset);
  if (run == nullptr) return ffi::Error::InvalidArgument("no kernel for this format");
  const auto half = [](ffi::AnyBuffer& units) {
    return static_cast<const uint16_t*>(units.untyped_data());
  };
  const Matrix matrix = {low.typed_data(),          high.typed_data(),    scales.untyped_data(),
                         offsets.untyped_data(),    half(scale_units),    half(offset_units),
                         x.dimensions()[1],         low.dimensions()[0]};
  run(pool, matrix, x.typed_data(), x.dimensions()[0], out->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(HrmQuantizedProduct, QuantizedProduct,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::U32>>()
                                  .Arg<ffi::Buffer<ffi::U32>>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int64_t>("bits")
                                  .Attr<int64_t>("group"));
