// Vectors of sixteen numbers, on any machine.

#ifndef HRM_KERNELS_VECTORS_H_
#define HRM_KERNELS_VECTORS_H_

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// A call passes vectors through memory where the machine's are shorter: with AVX2 a product took up
// to fifteen times as long.
#define HRM_INLINE inline __attribute__((always_inline))

namespace hrm {

constexpr int64_t kLanes = 16;

// GCC and Clang lower these to whatever vectors the machine has.
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int8_t Bytes __attribute__((vector_size(kLanes)));

template <typename Vector>
HRM_INLINE Vector Load(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

HRM_INLINE Floats Broadcast(float x) { return Floats{} + x; }

// Returns sixteen lanes of two vectors: those of `second` are numbered from kLanes on.
template <int... kFrom>
HRM_INLINE Floats ChooseLanes(Floats first, Floats second) {
#if defined(__clang__)
  return __builtin_shufflevector(first, second, kFrom...);
#else
  // GCC knows the other only from version 12 on.
  return __builtin_shuffle(first, second, Ints{kFrom...});
#endif
}

HRM_INLINE Floats MultiplyAdd(Floats x, Floats y, Floats sum) {
#if defined(__AVX512F__)
  return (Floats)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)sum);
#else
  // Compiled without contraction, so that every row is rounded alike.
  return x * y + sum;
#endif
}

// Returns 16 float16 numbers, widened.
HRM_INLINE Floats LoadHalf(const uint16_t* from) {
#if defined(__AVX512F__)
  return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
#elif defined(__F16C__)
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from)),
                            _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from + 1))};
  return Load<Floats>(halves);
#elif defined(__aarch64__)
  float32x4_t quarters[4];
  for (int quarter = 0; quarter < 4; ++quarter) {
    quarters[quarter] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + 4 * quarter)));
  }
  return Load<Floats>(quarters);
#else
  typedef uint16_t Halves __attribute__((vector_size(2 * kLanes)));
  const Words halves = __builtin_convertvector(Load<Halves>(from), Words);
  const Words size = halves & 0x7fffu;
  // Moved into float32's place, the exponent is too small by 127 - 15. Subnormal numbers are
  // counted in their unit instead: XLA's threads take those of float32 for zero.
  const Floats normal = (Floats)((size << 13) + (112u << 23));
  const Floats subnormal = __builtin_convertvector((Ints)size, Floats) * 0x1p-24f;
  const Floats magnitude = size < 0x400u ? subnormal : normal;
  const Floats wide = (Floats)((Words)magnitude | (halves & 0x8000u) << 16);
  return wide;
#endif
}

// Conversions by intrinsics where GCC 12 would convert one lane after the other.
HRM_INLINE Floats ToFloats(Ints numbers) {
#if defined(__aarch64__)
  int32x4_t quarters[4];
  float32x4_t floats[4];
  std::memcpy(quarters, &numbers, sizeof(numbers));
  for (int quarter = 0; quarter < 4; ++quarter) floats[quarter] = vcvtq_f32_s32(quarters[quarter]);
  return Load<Floats>(floats);
#else
  return __builtin_convertvector(numbers, Floats);
#endif
}

HRM_INLINE Floats LoadInt8(const int8_t* from) {
#if defined(__AVX512F__)
  const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from));
  return (Floats)_mm512_cvtepi32_ps(wide);
#else
  return __builtin_convertvector(Load<Bytes>(from), Floats);
#endif
}

HRM_INLINE void StoreInt8(Ints numbers, int8_t* to) {
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)numbers));
#else
  const Bytes bytes = __builtin_convertvector(numbers, Bytes);
  std::memcpy(to, &bytes, sizeof(bytes));
#endif
}

}  // namespace hrm

#endif  // HRM_KERNELS_VECTORS_H_
