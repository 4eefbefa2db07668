// Test bench: drives the accelerator, compares every word that every unit writes, and measures. The design is known from
// design.h, which is generated: the simulator's class, the widths of ports and how to reach them.
// Arguments: folder of plan.txt, input.bin and expected_<n>.bin; gap, stall (permille of cycles), seed.
#include "design.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

typedef std::vector<uint32_t> Words;

static Words read_words(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) { std::fprintf(stderr, "cannot read %s\n", path.c_str()); std::exit(3); }
  Words words(static_cast<size_t>(file.tellg()) / 4);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(words.data()), words.size() * 4);
  return words;
}

struct Tap {
  size_t pieces, width, total, per_image;
  bool output;
  Words expected;
  size_t seen = 0, wrong = 0, first_wrong = 0;
  Words got;
  std::vector<long> ends;  // cycle in which an image's last word left
};

static bool bit(const uint32_t* words, size_t i) { return words[i / 32] >> (i % 32) & 1; }

// A word's pieces without what lies above its width.
static bool same(const uint32_t* got, const uint32_t* want, const Tap& tap) {
  for (size_t i = 0; i + 1 < tap.pieces; i++) if (got[i] != want[i]) return false;
  size_t top = tap.width - 32 * (tap.pieces - 1);
  uint32_t mask = top == 32 ? 0xffffffffu : (1u << top) - 1;
  return (got[tap.pieces - 1] & mask) == (want[tap.pieces - 1] & mask);
}

static void print_hex(const uint32_t* words, size_t count) {
  for (size_t i = count; i-- > 0;) std::printf("%08x", words[i]);
}

int main(int argc, char** argv) {
  if (argc != 5) return 3;
  const std::string folder = std::string(argv[1]) + "/";
  const uint64_t gap = std::atoi(argv[2]), stall = std::atoi(argv[3]);
  uint64_t state = 0x9e3779b97f4a7c15ull * (std::atoll(argv[4]) + 1);
  auto chance = [&state](uint64_t permille) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (state >> 20) % 1000 < permille;
  };
  std::ifstream plan(folder + "plan.txt");
  size_t taps_count = 0, input_pieces = 0, input_per_image = 0, fifos = 0, watched = 0;
  long patience = 0;
  plan >> input_pieces >> input_per_image >> taps_count >> fifos >> watched >> patience;
  std::vector<Tap> taps(taps_count);
  size_t outputs = 0, incomplete = 0;
  for (size_t t = 0; t < taps_count; t++) {
    Tap& tap = taps[t];
    plan >> tap.width >> tap.total >> tap.per_image >> tap.output;
    tap.pieces = (tap.width + 31) / 32;
    tap.expected = read_words(folder + "expected_" + std::to_string(t) + ".bin");
    outputs += tap.output;
    incomplete += tap.total > 0;
  }
  if (!plan) return 3;
  const Words input = read_words(folder + "input.bin");
  const size_t input_words = input.size() / input_pieces;

  Design design;
  std::vector<long> starts;
  std::vector<long> fill(fifos), most(fifos), overflows(watched), first_overflow(watched, -1);
  size_t sent = 0;
  bool offered = false;
  long cycle = 0, last_move = 0;
  design.reset();
  while (incomplete && cycle - last_move < patience) {
    if (!offered && sent < input_words) offered = !(gap && chance(gap));
    const bool ready = !(stall && chance(stall));
    design.drive(offered ? &input[sent * input_pieces] : nullptr, ready);
    if (offered && design.input_ready()) {
      if (sent % input_per_image == 0) starts.push_back(cycle);
      sent++; offered = false; last_move = cycle;
    }
    const uint32_t* moved = design.moved();
    for (size_t t = 0; t < taps_count; t++) {
      if (!bit(moved, t)) continue;
      Tap& tap = taps[t];
      last_move = cycle;
      if (tap.seen < tap.total) {
        const uint32_t* got = design.data(t);
        if (!same(got, &tap.expected[tap.seen * tap.pieces], tap)) {
          if (!tap.wrong++) { tap.first_wrong = tap.seen; tap.got.assign(got, got + tap.pieces); }
        }
      }
      tap.seen++;
      if (tap.output && tap.seen % tap.per_image == 0) tap.ends.push_back(cycle);
      if (tap.seen == tap.total) incomplete--;
    }
    const uint32_t *put = design.put(), *took = design.got(), *over = design.overflow();
    for (size_t f = 0; f < fifos; f++) {
      fill[f] += static_cast<long>(bit(put, f)) - static_cast<long>(bit(took, f));
      if (fill[f] > most[f]) most[f] = fill[f];
    }
    for (size_t w = 0; w < watched; w++) if (bit(over, w)) {
      if (!overflows[w]++) first_overflow[w] = cycle;
    }
    design.tick();
    cycle++;
  }
  std::printf("{\"cycles\": %ld, \"complete\": %s, \"taps\": [", cycle, incomplete ? "false" : "true");
  for (size_t t = 0; t < taps_count; t++) {
    const Tap& tap = taps[t];
    std::printf("%s{\"seen\": %zu, \"wrong\": %zu, \"first_wrong\": %zu, \"got\": \"", t ? ", " : "", tap.seen, tap.wrong,
                tap.first_wrong);
    print_hex(tap.got.data(), tap.got.size());
    std::printf("\", \"ends\": [");
    for (size_t i = 0; i < tap.ends.size(); i++) std::printf("%s%ld", i ? ", " : "", tap.ends[i]);
    std::printf("]}");
  }
  std::printf("], \"starts\": [");
  for (size_t i = 0; i < starts.size(); i++) std::printf("%s%ld", i ? ", " : "", starts[i]);
  std::printf("], \"fills\": [");
  for (size_t f = 0; f < fifos; f++) std::printf("%s%ld", f ? ", " : "", most[f]);
  std::printf("], \"overflows\": [");
  for (size_t w = 0; w < watched; w++) std::printf("%s%ld", w ? ", " : "", overflows[w]);
  std::printf("]}\n");
  return 0;
}
