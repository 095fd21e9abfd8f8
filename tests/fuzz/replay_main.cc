// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over its corpus without libFuzzer: every file of the folders named, each
// whole, cut short, and with one byte changed.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Run(const std::string& input) {
  // A heap copy of the exact size, so that ASan sees any read past the end.
  std::string copy(input);
  copy.shrink_to_fit();
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(copy.data()), copy.size());
}

size_t RunMutations(const std::string& input) {
  size_t runs = 1;
  Run(input);
  const size_t step = input.size() / 256 + 1;
  for (size_t at = 0; at < input.size(); at += step, runs += 2) {
    Run(input.substr(0, at));
    std::string changed = input;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    Run(changed);
  }
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  size_t runs = 1;
  Run("");
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      runs += RunMutations(std::string(std::istreambuf_iterator<char>(file), {}));
    }
  }
  std::printf("%zu inputs, no crash\n", runs);
  return 0;
}
