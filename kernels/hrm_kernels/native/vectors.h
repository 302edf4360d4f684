// Vectors of sixteen numbers, on any machine.

#ifndef HRM_KERNELS_VECTORS_H_
#define HRM_KERNELS_VECTORS_H_

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace hrm {

constexpr int64_t kLanes = 16;

// GCC and Clang lower these to whatever vectors the machine has.
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int8_t Bytes __attribute__((vector_size(kLanes)));

template <typename Vector>
Vector Load(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

inline Floats Broadcast(float x) { return Floats{} + x; }

inline Floats MultiplyAdd(Floats x, Floats y, Floats sum) {
#if defined(__AVX512F__)
  return (Floats)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)sum);
#else
  // Compiled without contraction, so that every row is rounded alike.
  return x * y + sum;
#endif
}

// Returns 16 float16 numbers, widened.
inline Floats LoadHalf(const uint16_t* from) {
#if defined(__AVX512F__)
  return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
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
inline Floats LoadInt8(const int8_t* from) {
#if defined(__AVX512F__)
  const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from));
  return (Floats)_mm512_cvtepi32_ps(wide);
#else
  return __builtin_convertvector(Load<Bytes>(from), Floats);
#endif
}

inline void StoreInt8(Ints numbers, int8_t* to) {
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)numbers));
#else
  const Bytes bytes = __builtin_convertvector(numbers, Bytes);
  std::memcpy(to, &bytes, sizeof(bytes));
#endif
}

}  // namespace hrm

#endif  // HRM_KERNELS_VECTORS_H_
