// Runs a verilated chip whose line is standard input and output. Time passes while the chip is busy or bytes wait for
// it, and stands still while it has nothing to do.

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <poll.h>
#include <random>
#include <string>
#include <unistd.h>

#include "chip.h"
#include "verilated.h"

namespace {

constexpr uint64_t BURST = 256;         // cycles between looks at the line's ends
constexpr uint64_t LAST_CYCLES = 100000;  // that a busy chip is given when its input has ended
constexpr size_t CHUNK = 65536;

// Flips each bit with one probability; draws a random number per flip, not per bit.
class Noise {
  public:
    Noise(double rate, uint64_t seed) : rate_(rate), engine_(seed) { draw(); }

    uint8_t through(uint8_t byte) {
        if (rate_ <= 0) return byte;
        while (left_ < 8) {
            byte ^= uint8_t(1u << left_);
            uint64_t at = left_ + 1;
            draw();
            left_ += at;
        }
        left_ -= 8;
        return byte;
    }

  private:
    void draw() {
        if (rate_ <= 0) return;
        double u = std::uniform_real_distribution<double>(0x1p-60, 1.0)(engine_);
        left_ = rate_ >= 1 ? 0 : uint64_t(std::min(1e18, std::floor(std::log(u) / std::log1p(-rate_))));
    }

    double rate_;
    std::mt19937_64 engine_;
    uint64_t left_ = 0;
};

struct Options {
    double flip = 0;
    uint64_t seed = 1;
    uint64_t max_idle = 64;
    uint64_t bare = 0;
    bool stats = false;
};

double real(const char* name, const char* text) {
    char* end = nullptr;
    double value = std::strtod(text, &end);
    if (end == text || *end || !(value >= 0)) {
        std::fprintf(stderr, "%s must be a number of at least 0, not %s\n", name, text);
        std::exit(2);
    }
    return value;
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        std::string name = argv[i];
        bool has_value = i + 1 < argc;
        if (name == "--stats") options.stats = true;
        else if (name == "--flip" && has_value) options.flip = real("--flip", argv[++i]);
        else if (name == "--seed" && has_value) options.seed = uint64_t(real("--seed", argv[++i]));
        else if (name == "--max-idle" && has_value) options.max_idle = uint64_t(real("--max-idle", argv[++i]));
        else if (name == "--bare" && has_value) options.bare = uint64_t(real("--bare", argv[++i]));
        else {
            std::fprintf(stderr,
                         "%s is not understood; options are --stats, --flip RATE (of bits on the line), --seed N, "
                         "--max-idle CYCLES (before time stands still) and --bare CYCLES (then end)\n", argv[i]);
            std::exit(2);
        }
    }
    return options;
}

// Standard input and output, read and written in large pieces.
class Line {
  public:
    explicit Line(const Options& options)
        : noise_in_(options.flip, 2 * options.seed), noise_out_(options.flip, 2 * options.seed + 1) {}

    bool waiting() const { return at_ != count_; }
    bool ended() const { return ended_; }
    uint8_t next() { return noise_in_.through(in_[at_++]); }
    void put(uint8_t byte) {
        out_[out_count_++] = noise_out_.through(byte);
        if (out_count_ == CHUNK) flush();
    }

    // Fetches bytes if none wait; `block` waits for some, or for the end.
    void fetch(bool block) {
        if (waiting() || ended_) return;
        pollfd descriptor{STDIN_FILENO, POLLIN, 0};
        if (poll(&descriptor, 1, block ? -1 : 0) <= 0) return;
        ssize_t got = read(STDIN_FILENO, in_, CHUNK);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) ended_ = true;
        at_ = 0;
        count_ = got > 0 ? size_t(got) : 0;
    }

    void flush() {
        for (size_t at = 0; at != out_count_;) {
            ssize_t put = write(STDOUT_FILENO, out_ + at, out_count_ - at);
            if (put > 0) at += size_t(put);
            else if (errno == EAGAIN) { pollfd descriptor{STDOUT_FILENO, POLLOUT, 0}; poll(&descriptor, 1, -1); }
            else if (errno != EINTR) { ended_ = true; break; }
        }
        out_count_ = 0;
    }

  private:
    Noise noise_in_, noise_out_;
    uint8_t in_[CHUNK], out_[CHUNK];
    size_t at_ = 0, count_ = 0, out_count_ = 0;
    bool ended_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    auto context = std::make_unique<VerilatedContext>();
    context->randSeed(int(options.seed & 0x3fffffff) + 1);  // 0 would be a seed of the system's choice
    auto whole = std::make_unique<Chip>(context.get());
    Vchip* const chip = &whole->top;
    auto line = std::make_unique<Line>(options);
    uint64_t cycles = 0, busy_cycles = 0, idle = 0, after_end = 0;

    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t began = std::clock();
    double asleep = 0;
    for (; cycles < options.bare; cycles++) whole->clock();
    while (options.bare == 0) {
        line->fetch(false);
        if (!line->waiting() && (line->ended() ? idle >= options.max_idle || after_end > LAST_CYCLES
                                               : idle >= options.max_idle)) {
            line->flush();
            if (line->ended()) break;
            const auto slept = std::chrono::steady_clock::now();
            line->fetch(true);
            asleep += std::chrono::duration<double>(std::chrono::steady_clock::now() - slept).count();
            if (!line->waiting()) continue;
        }
        if (line->ended() && after_end > LAST_CYCLES) break;
        uint64_t left = BURST;
        bool offered = chip->i_line_valid;
        for (; left; left--) {
            if (!offered && line->waiting()) {
                chip->i_line_payload = line->next();
                chip->i_line_valid = 1;
                offered = true;
                whole->settle();
            }
            const bool taken = offered && chip->i_line_ready;
            if (chip->o_line_valid) line->put(chip->o_line_payload);
            const bool busy = chip->o_busy | offered | chip->o_line_valid;
            whole->clock();
            if (taken) {
                offered = false;
                chip->i_line_valid = 0;
                if (Chip::PLACES) whole->settle();  // the top alone would see it in the next cycle anyway
            }
            busy_cycles += busy;
            idle = busy ? 0 : idle + 1;
            if (idle >= options.max_idle && !line->waiting()) { left--; break; }
        }
        cycles += BURST - left;
        if (line->ended()) after_end += BURST - left;
        line->flush();
    }
    chip->final();
    if (options.stats) {
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        const double processor = double(std::clock() - began) / CLOCKS_PER_SEC;
        std::fprintf(stderr, "{\"cycles\": %llu, \"busy\": %llu, \"seconds\": %.3f, \"asleep\": %.3f, "
                     "\"processor\": %.3f, \"slept\": %llu}\n", static_cast<unsigned long long>(cycles),
                     static_cast<unsigned long long>(busy_cycles), seconds, asleep, processor,
                     static_cast<unsigned long long>(whole->slept()));
    }
    return 0;
}
