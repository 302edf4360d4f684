// Root-mean-square normalisation with a scale, for CPUs: `norm.py` is its caller.
//
// XLA sums the squares of few and of many rows in different orders; here a row gives the same bits
// whatever other rows there are.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "parallel.h"
#include "vectors.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using namespace hrm;

constexpr int64_t kPiece = 1 << 15;  // numbers that are worth a thread's attention

void Normalise(const float* x, const float* scale, int64_t size, float eps, float* out) {
  Floats squares[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
    for (int half = 0; half < 2; ++half) {
      const Floats part = Load<Floats>(x + i + half * kLanes);
      squares[half] = MultiplyAdd(part, part, squares[half]);
    }
  }
  const Floats both = squares[0] + squares[1];
  float total = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) total += both[lane];
  for (int64_t rest = i; rest < size; ++rest) total += x[rest] * x[rest];
  const float factor = 1 / std::sqrt(total / size + eps);
  for (i = 0; i + kLanes <= size; i += kLanes) {
    const Floats normed = Load<Floats>(x + i) * factor * Load<Floats>(scale + i);
    std::memcpy(out + i, &normed, sizeof(normed));
  }
  for (; i < size; ++i) out[i] = x[i] * factor * scale[i];
}

ffi::Error RmsNorm(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> scale,
                   ffi::ResultBuffer<ffi::F32> out, float eps) {
  const int64_t rows = x.dimensions()[0];
  const int64_t size = x.dimensions()[1];
  const int64_t pieces = std::clamp<int64_t>(rows * size / kPiece, 1, rows);
  Parallel(pool, pieces, [&](int64_t piece) {
    for (int64_t row = rows * piece / pieces; row < rows * (piece + 1) / pieces; ++row) {
      const int64_t at = row * size;
      Normalise(x.typed_data() + at, scale.typed_data(), size, eps, out->typed_data() + at);
    }
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(HrmRmsNorm, RmsNorm,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<float>("eps"));
