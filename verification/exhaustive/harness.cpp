// Drives the compiled bank through every case and compares each result with an oracle that shares nothing with the RTL:
// products of binary16 are exact in float and rounded by the processor's own conversion where it has one (F16C);
// everything else is looked up among all finite values.
//
//   exhaustive multiply FIRST LAST    rows FIRST to LAST - 1 of the 63488 x 63488 table of finite operands
//   exhaustive round                  both rounders, around every word and every tie
//
// Prints "progress DONE TOTAL", at the end "passed COUNT ORACLE"; on a difference "differs ..." and exit status 1.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "Vbank.h"
#include "verilated.h"

static_assert(std::endian::native == std::endian::little, "ports are filled by byte copies");

using Wide = __int128;

constexpr int kFinite = 63488;      // words with exponent 0 to 30, both signs
constexpr int kPositive = 31744;
constexpr uint32_t kOverflow = 1u << 16;
constexpr int kBlocks = kFinite / LANES;


// Positive finite values in units of 2^-24 by their words; the last is the overflow, 2^16.
static std::vector<int64_t> ladder() {
    std::vector<int64_t> values;
    for (int word = 0; word <= kPositive; ++word) {
        const int exponent = word >> 10, fraction = word & 1023;
        const double value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
        values.push_back(static_cast<int64_t>(std::ldexp(value, 24)));
    }
    return values;
}

static const std::vector<int64_t> kLadder = ladder();

// The result, with the overflow flag at bit 16, of a value in units of 2^-fraction.
static uint32_t nearest(Wide value, int fraction) {
    const bool negative = value < 0;
    const Wide magnitude = negative ? -value : value;
    const int scale = fraction - 24;
    const auto at = [&](int word) { return static_cast<Wide>(kLadder[word]) << scale; };
    int word = kPositive;
    if (magnitude < at(kPositive)) {
        // The last word not above the magnitude, then the closer of it and its neighbour, the even one in a tie.
        const auto above = std::upper_bound(kLadder.begin(), kLadder.end(), magnitude,
            [&](Wide left, int64_t right) { return left < (static_cast<Wide>(right) << scale); });
        word = static_cast<int>(above - kLadder.begin()) - 1;
        const Wide down = magnitude - at(word), up = at(word + 1) - magnitude;
        if (up < down || (up == down && word % 2)) ++word;
    }
    uint32_t flag = 0;
    if (word == kPositive) { word = kPositive - 1; flag = kOverflow; }
    return word ? (flag | (negative ? 0x8000u : 0u) | static_cast<uint32_t>(word)) : 0;
}

static Wide exact(uint16_t word) {
    const Wide value = kLadder[word & 0x7FFF];
    return word >> 15 ? -value : value;
}

static uint16_t finite(int index) {
    return index < kPositive ? index : 0x8000 + (index - kPositive);
}

static const char* oracle() {
#ifdef __F16C__
    return "F16C";
#else
    return "search";
#endif
}

// Results of one operand with every finite word, in the order of finite().
static void row(uint16_t a, const std::vector<uint16_t>& words, std::vector<uint32_t>& results) {
#ifdef __F16C__
    const __m256 factor = _mm256_set1_ps(_cvtsh_ss(a));
    for (int i = 0; i < kFinite; i += 8) {
        const __m256 b = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&words[i])));
        const __m128i half = _mm256_cvtps_ph(_mm256_mul_ps(factor, b), _MM_FROUND_TO_NEAREST_INT);
        uint16_t lanes[8];
        _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), half);
        for (int lane = 0; lane < 8; ++lane) {
            const uint32_t word = lanes[lane], magnitude = word & 0x7FFF;
            // Infinity becomes the largest word beside its flag, minus zero becomes zero.
            results[i + lane] = magnitude == 0x7C00 ? (word - 1) | kOverflow : magnitude ? word : 0;
        }
    }
#else
    for (int i = 0; i < kFinite; ++i) results[i] = nearest(exact(a) * exact(words[i]), 48);
#endif
}

static void progress(uint64_t done, uint64_t total) {
    std::printf("progress %llu %llu\n", static_cast<unsigned long long>(done), static_cast<unsigned long long>(total));
    std::fflush(stdout);
}

static int multiply(Vbank& bank, int first, int last) {
    std::vector<uint16_t> words(kFinite);
    std::vector<uint32_t> expected(kFinite);
    for (int i = 0; i < kFinite; ++i) words[i] = finite(i);
    int differences = 0;
    for (int index = first; index < last; ++index) {
        const uint16_t a = finite(index);
        row(a, words, expected);
        // The two oracles agree on a sample of each row.
        for (int i = index % 997; i < kFinite; i += 997) {
            if (expected[i] != nearest(exact(a) * exact(words[i]), 48)) {
                std::printf("oracles differ a %04x b %04x\n", a, words[i]);
                return 1;
            }
        }
        bank.a = a;
        for (int cycle = 0; cycle < kBlocks + MULTIPLY_LATENCY - 1; ++cycle) {
            if (cycle < kBlocks) std::memcpy(bank.b.data(), &words[cycle * LANES], LANES * 2);
            bank.multiply_clk = 1;
            bank.eval();
            bank.multiply_clk = 0;
            bank.eval();
            const int block = cycle - (MULTIPLY_LATENCY - 1);
            if (block < 0 || !std::memcmp(bank.product.data(), &expected[block * LANES], LANES * 4)) continue;
            for (int lane = 0; lane < LANES && differences < 10; ++lane) {
                const int i = block * LANES + lane;
                if (bank.product[lane] == expected[i]) continue;
                std::printf("differs a %04x b %04x got %05x expected %05x\n", a, words[i], bank.product[lane],
                            expected[i]);
                ++differences;
            }
            if (differences >= 10) return 1;
        }
        if ((index - first) % 32 == 31) progress(static_cast<uint64_t>(index - first + 1) * kFinite,
                                                 static_cast<uint64_t>(last - first) * kFinite);
    }
    if (differences) return 1;
    std::printf("passed %llu %s\n", static_cast<unsigned long long>(last - first) * kFinite, oracle());
    return 0;
}

// A rounder of the bank with the results it still owes.
class Rounder {
public:
    struct Format { int width, fraction, latency; };

    Rounder(const char* name, Vbank& bank, CData& clock, VlWide<4>& input, IData& output, Format format)
        : name_(name), bank_(bank), clock_(clock), input_(input), output_(output), width_(format.width),
          fraction_(format.fraction), latency_(format.latency) {}

    bool fits(Wide value) const {
        const Wide most = (static_cast<Wide>(1) << (width_ - 1)) - 1;
        return value >= -most - 1 && value <= most;
    }

    void both(Wide value) {
        if (fits(value)) take(value);
        if (fits(-value)) take(-value);
    }

    // Around every word and the tie above it: one unit to both sides, and each single bit that sticky must see.
    void sweep() {
        for (int word = 0; word < kPositive; ++word) {
            const int scale = fraction_ - 24;
            const Wide base = static_cast<Wide>(kLadder[word]) << scale;
            const Wide next = static_cast<Wide>(kLadder[word + 1]) << scale;
            const Wide half = (next - base) / 2;
            for (const Wide centre : {base, base + half})
                for (Wide offset = -1; offset <= 1; ++offset) both(centre + offset);
            for (Wide bit = 2; bit < half; bit *= 2) {
                both(base + bit);
                both(base + half - bit);
                both(base + half + bit);
            }
            if (word % 1024 == 1023) progress(word + 1, kPositive);
        }
        for (int bit = 0; bit < width_; ++bit)
            for (Wide offset = -1; offset <= 1; ++offset) both((static_cast<Wide>(1) << bit) + offset);
        for (int i = 1; i < latency_; ++i) take(0);
    }

    bool passed() const { return !differences_; }
    uint64_t count() const { return count_; }

private:
    void take(Wide value) {
        std::memcpy(input_.data(), &value, sizeof value);
        pending_[count_ % pending_.size()] = {value, nearest(value, fraction_)};
        clock_ = 1;
        bank_.eval();
        clock_ = 0;
        bank_.eval();
        ++count_;
        if (count_ < static_cast<uint64_t>(latency_)) return;
        const auto& [cause, expected] = pending_[(count_ - latency_) % pending_.size()];
        if (output_ == expected || ++differences_ > 10) return;
        std::printf("differs %s value %s%llx%016llx got %05x expected %05x\n", name_, cause < 0 ? "-" : "",
                    static_cast<unsigned long long>((cause < 0 ? -cause : cause) >> 64),
                    static_cast<unsigned long long>(cause < 0 ? -cause : cause), output_, expected);
    }

    const char* name_;
    Vbank& bank_;
    CData& clock_;
    VlWide<4>& input_;
    IData& output_;
    const int width_, fraction_, latency_;
    std::array<std::pair<Wide, uint32_t>, 32> pending_{};
    uint64_t count_ = 0, differences_ = 0;
};

static int round(Vbank& bank) {
    Rounder narrow("narrow", bank, bank.narrow_clk, bank.narrow_i, bank.narrow_o,
                   {NARROW_WIDTH, NARROW_FRACTION, NARROW_LATENCY});
    Rounder broad("broad", bank, bank.broad_clk, bank.broad_i, bank.broad_o,
                  {BROAD_WIDTH, BROAD_FRACTION, BROAD_LATENCY});
    narrow.sweep();
    broad.sweep();
    if (!narrow.passed() || !broad.passed()) return 1;
    std::printf("passed %llu search\n", static_cast<unsigned long long>(narrow.count() + broad.count()));
    return 0;
}

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    VerilatedContext context;
    Vbank bank(&context);
    bank.eval();  // all clocks low, or the first rise would not be one
    if (what == "round" && argc == 2) return round(bank);
    if (what == "multiply" && argc == 4) {
        const int first = std::atoi(argv[2]), last = std::atoi(argv[3]);
        if (0 <= first && first < last && last <= kFinite) return multiply(bank, first, last);
    }
    std::fprintf(stderr, "usage: exhaustive round | exhaustive multiply FIRST LAST (rows, of %d)\n", kFinite);
    return 2;
}
