// Writes what the kernels compute from fixed numbers, as float32, for comparison between machines.
//
// All but the threads: each kernel is called below its entry point, in one piece.

#include <cstdio>

#include "cached_attention.cc"
#include "quantized_product.cc"
#include "rms_norm.cc"

namespace {

uint32_t state = 1;

uint32_t NextBits() {
  state = state * 1664525u + 1013904223u;
  return state >> 16 | (state * 22695477u & 0xffff0000u);
}

std::vector<uint32_t> Bits(int64_t count) {
  std::vector<uint32_t> bits(count);
  for (uint32_t& one : bits) one = NextBits();
  return bits;
}

// Returns numbers between -1 and 1.
std::vector<float> Numbers(int64_t count) {
  std::vector<float> numbers(count);
  for (float& one : numbers) one = static_cast<int32_t>(NextBits()) * 0x1p-31f;
  return numbers;
}

// Returns float16 numbers below 2 in size, some of them subnormal.
std::vector<uint16_t> Halves(int64_t count) {
  std::vector<uint16_t> halves(count);
  for (uint16_t& one : halves) one = NextBits() & 0xbfffu;
  return halves;
}

void Write(const std::vector<float>& numbers) {
  std::fwrite(numbers.data(), sizeof(float), numbers.size(), stdout);
}

template <typename Kind>
void WriteProduct() {
  constexpr int64_t kRows = 15;  // 8, 4, 2 and 1 together
  constexpr int64_t kInputs = 512;
  constexpr int64_t kPanels = 2;
  constexpr int64_t kGroups = kInputs / Kind::kGroup;
  const auto low = Bits(kPanels * kInputs * Kind::kLow / 32 * kLanes);
  const auto high = Bits(kPanels * kInputs * Kind::kHigh / 32 * kLanes);
  const auto scales = Halves(kPanels * kGroups * kLanes);
  const auto offsets = Halves(kPanels * kGroups * kLanes);
  const auto scale_units = Halves(kPanels * kInputs / kUnit * kLanes);
  const auto offset_units = Halves(kPanels * kInputs / kUnit * kLanes);
  const Matrix matrix = {low.data(),         high.data(),         scales.data(), offsets.data(),
                         scale_units.data(), offset_units.data(), kInputs,       kPanels};
  auto x = Numbers(kRows * kInputs);
  std::fill_n(x.begin() + kInputs, Kind::kGroup, 0.0f);
  x[2 * kInputs] = std::numeric_limits<float>::infinity();
  Activations activations(kRows, kInputs, kGroups);
  for (int64_t row = 0; row < kRows; ++row) {
    Round<Kind>(x.data() + row * kInputs, row, kGroups, activations);
  }
  std::vector<float> out(kRows * kPanels * kLanes);
  for (int64_t panel = 0; panel < kPanels; ++panel) {
    MultiplyRows<Kind>(matrix, panel, activations, kRows, out.data());
  }
  Write(out);
}

void WriteAttention(int64_t window) {
  constexpr int64_t kBatch = 2, kPlaces = 3, kTokens = 3, kQueryHeads = 6, kKeyHeads = 2, kSize = 64, kKeys = 70;
  const auto query = Numbers(kBatch * kTokens * kQueryHeads * kSize);
  const auto new_key = Numbers(kBatch * kTokens * kKeyHeads * kSize);
  const auto new_value = Numbers(kBatch * kTokens * kKeyHeads * kSize);
  auto key = Numbers(kPlaces * kKeys * kKeyHeads * kSize);
  auto value = Numbers(kPlaces * kKeys * kKeyHeads * kSize);
  const int32_t lengths[kBatch] = {37, 69};  // the second has room for one token alone
  const int32_t places[kBatch] = {2, 0};  // the cache has a row that is not addressed
  std::vector<float> out(query.size());
  Problem problem = {};
  problem.query = query.data();
  problem.new_key = new_key.data();
  problem.new_value = new_value.data();
  problem.lengths = lengths;
  problem.places = places;
  problem.out = out.data();
  problem.key = key.data();
  problem.value = value.data();
  problem.tokens = kTokens;
  problem.query_heads = kQueryHeads;
  problem.key_heads = kKeyHeads;
  problem.size = kSize;
  problem.keys = kKeys;
  problem.window = window;
  problem.scale = 1.0f;
  for (int64_t row = 0; row < kBatch; ++row) {
    Append(problem, row);
    for (int64_t head = 0; head < kKeyHeads; ++head) {
      for (int64_t first = 0; first < problem.shared() * kTokens; first += kQueries) {
        Attend(problem, row, head, first);
      }
    }
  }
  Write(out);
  Write(key);
}

void WriteNorm() {
  constexpr int64_t kSize = 100;
  const auto x = Numbers(kSize);
  const auto scale = Numbers(kSize);
  std::vector<float> out(kSize);
  Normalise(x.data(), scale.data(), kSize, 1e-6f, out.data());
  Write(out);
}

}  // namespace

int main() {
  WriteProduct<Format<8, 0, 32, false, false>>();
  WriteProduct<Format<4, 0, 32, false, false>>();
  WriteProduct<Format<4, 0, 32, false, true>>();
  WriteProduct<Format<4, 0, 32, true, true>>();
  WriteProduct<Format<4, 1, 32, false, false>>();
  WriteProduct<Format<4, 1, 32, false, true>>();
  WriteProduct<Format<4, 1, 32, true, true>>();
  WriteProduct<Format<4, 2, 16, true, false>>();
  WriteAttention(0);
  WriteAttention(20);
  WriteNorm();
}
