// Runs a verilated board below its clock. Its serial pins are joined, bit by bit, to a pseudo-terminal: a program that
// opens it finds what it would find behind the adapter of the board. The rate is the one that the terminal is set to.
// Time passes while the board has something to do and stands still else.

#include <asm/termbits.h>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <random>
#include <string>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "chip.h"
#include "verilated.h"

namespace {

constexpr uint64_t BURST = 2048;        // cycles between looks at the terminal
constexpr uint64_t REST = 4096;         // cycles without anything to do before time stands still
constexpr size_t CHUNK = 4096;
constexpr size_t MOST_OUT = 1 << 20;    // bytes kept for a host that does not read
constexpr uint64_t NEVER = ~uint64_t(0);
constexpr int IDLE_LIGHT = 1;           // bit 0 of the lights

volatile std::sig_atomic_t stop_asked = 0, pull_asked = 0, plug_asked = 0;

struct Options {
    double clock = 0, flip = 0, away = 1;
    uint64_t seed = 1, baud = 3000000, unplug_every = 0;
    bool power = true, stats = false, lights = false;
    std::string link;
};

double number(const char* name, const char* text) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end || !(value >= 0)) {
        std::fprintf(stderr, "%s must be a number of at least 0, not %s\n", name, text);
        std::exit(2);
    }
    return value;
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--stats") options.stats = true;
        else if (name == "--lights") options.lights = true;
        else if (name == "--lose-power") options.power = false;
        else if (i + 1 == argc) { std::fprintf(stderr, "%s is not understood\n", argv[i]); std::exit(2); }
        else if (name == "--link") options.link = argv[++i];
        else {
            const double value = number(argv[i], argv[i + 1]);
            i++;
            if (name == "--clock") options.clock = value;
            else if (name == "--flip") options.flip = value;
            else if (name == "--away") options.away = value;
            else if (name == "--seed") options.seed = uint64_t(value);
            else if (name == "--baud") options.baud = uint64_t(value);
            else if (name == "--unplug-every") options.unplug_every = uint64_t(value);
            else { std::fprintf(stderr, "%s is not understood\n", name.c_str()); std::exit(2); }
        }
    }
    if (options.clock <= 0) { std::fprintf(stderr, "--clock must be the board's clock in Hz\n"); std::exit(2); }
    return options;
}

// Says of each bit of the line, start and stop bits too, whether it is flipped.
class Noise {
  public:
    Noise(double rate, uint64_t seed) : rate_(rate), engine_(seed) { draw(); }
    bool strikes() {
        if (rate_ <= 0 || left_-- > 0) return false;
        draw();
        return true;
    }

  private:
    void draw() {
        if (rate_ <= 0) return;
        const double u = std::uniform_real_distribution<double>(0x1p-60, 1.0)(engine_);
        left_ = int64_t(std::min(1e18, std::floor(std::log(u) / std::log1p(-std::min(rate_, 0.999)))));
    }
    double rate_;
    std::mt19937_64 engine_;
    int64_t left_ = 0;
};

// A pseudo-terminal, plugged in or not.
class Terminal {
  public:
    explicit Terminal(const Options& options) : options_(options) {}
    ~Terminal() { pull(); }

    bool plugged() const { return master_ >= 0; }

    void plug() {
        master_ = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (master_ < 0 || grantpt(master_) || unlockpt(master_)) {
            std::perror("no pseudo-terminal");
            std::exit(3);
        }
        const std::string name = ptsname(master_);
        // Kept open, so that the terminal outlives a host that closes it; raw before anybody can write to it.
        slave_ = open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
        termios2 settings{};
        ioctl(slave_, TCGETS2, &settings);
        settings.c_iflag = settings.c_oflag = settings.c_lflag = 0;
        settings.c_cflag = CS8 | CREAD | CLOCAL | BOTHER;
        settings.c_ospeed = settings.c_ispeed = unsigned(options_.baud);
        settings.c_cc[VMIN] = 1;
        settings.c_cc[VTIME] = 0;
        ioctl(slave_, TCSETS2, &settings);
        std::string shown = name;
        if (!options_.link.empty()) {
            const std::string part = options_.link + ".new";
            unlink(part.c_str());
            if (symlink(name.c_str(), part.c_str()) || rename(part.c_str(), options_.link.c_str())) {
                std::perror(options_.link.c_str());
                std::exit(3);
            }
            shown = options_.link;
        }
        std::printf("serial:%s\n", shown.c_str());
        std::fflush(stdout);
    }

    void pull() {
        if (!plugged()) return;
        if (!options_.link.empty()) unlink(options_.link.c_str());
        close(slave_);
        close(master_);
        slave_ = master_ = -1;
        out_.clear();
    }

    // Bits per second that the host has set.
    double rate() const {
        termios2 settings{};
        if (ioctl(master_, TCGETS2, &settings) || settings.c_ospeed == 0) return double(options_.baud);
        return settings.c_ospeed;
    }

    // Bytes from the host.
    size_t fetch(uint8_t* content, size_t count) {
        if (!plugged()) return 0;
        const ssize_t got = read(master_, content, count);
        return got > 0 ? size_t(got) : 0;
    }

    void put(uint8_t byte) {
        if (plugged() && out_.size() < MOST_OUT) out_.push_back(byte);
    }

    void flush() {
        while (plugged() && !out_.empty()) {
            uint8_t chunk[CHUNK];
            size_t count = std::min(out_.size(), CHUNK);
            std::copy_n(out_.begin(), count, chunk);
            const ssize_t put = write(master_, chunk, count);
            if (put <= 0) return;
            out_.erase(out_.begin(), out_.begin() + put);
        }
    }

    // Until the host sends, reads what waits for it, or a signal comes.
    void wait(int milliseconds) {
        pollfd descriptor{master_, short(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0};
        poll(&descriptor, plugged() ? 1 : 0, milliseconds);
    }

  private:
    const Options& options_;
    int master_ = -1, slave_ = -1;
    std::deque<uint8_t> out_;
};

// Drives a pin with bytes: a start bit, eight bits from the lowest, a stop bit.
class Speaker {
  public:
    Speaker(double flip, uint64_t seed) : noise_(flip, seed) {}

    bool resting() const { return bits_ == 0; }
    uint64_t next() const { return bits_ ? edge_ : NEVER; }

    void say(uint8_t byte, uint64_t now, double period) {
        shift_ = uint32_t(byte) << 1 | 1u << 9;
        bits_ = 11;     // the eleventh edge is the end of the stop bit
        period_ = period;
        // Back to back with the byte before, to the fraction of a cycle.
        at_ = std::max(at_, double(now));
        edge_ = uint64_t(at_);
    }

    // The pin's level from this edge on.
    bool turn() {
        if (--bits_ == 0) return true;
        const bool level = (shift_ & 1) ^ noise_.strikes();
        shift_ >>= 1;
        at_ += period_;
        edge_ = uint64_t(at_);
        return level;
    }

    void silence() { bits_ = 0; }

  private:
    Noise noise_;
    uint32_t shift_ = 0;
    int bits_ = 0;
    double period_ = 16, at_ = 0;
    uint64_t edge_ = 0;
};

// Reads bytes off a pin.
class Listener {
  public:
    Listener(double flip, uint64_t seed) : noise_(flip, seed) {}

    uint64_t next() const { return sample_; }
    bool listening() const { return count_ >= 0; }

    void fell(uint64_t now, double period) {
        count_ = 0;
        shift_ = 0;
        period_ = period;
        at_ = double(now) + 0.5 * period;
        sample_ = uint64_t(at_);
    }

    // Takes the level in the middle of a bit; true if that ended a byte.
    bool take(bool level) {
        level ^= noise_.strikes();
        shift_ |= uint32_t(level) << count_;
        at_ += period_;
        sample_ = uint64_t(at_);
        if (count_ == 0 && level) return over();   // no start bit after all
        if (++count_ < 10) return false;
        over();
        return level;       // a byte without a stop bit is dropped, as an adapter does
    }
    uint8_t byte() const { return uint8_t(shift_ >> 1); }

  private:
    bool over() {
        count_ = -1;
        sample_ = NEVER;
        return false;
    }
    Noise noise_;
    uint32_t shift_ = 0;
    int count_ = -1;
    double period_ = 16, at_ = 0;
    uint64_t sample_ = NEVER;
};

void show(unsigned lights, double seconds) {
    static const char* const names[] = {"idle", "training", "overflow", "link error"};
    std::string lit;
    for (int k = 0; k < 4; k++)
        if (lights >> k & 1) lit += (lit.empty() ? "" : ", ") + std::string(names[k]);
    std::fprintf(stderr, "%.6f s  %s\n", seconds, lit.empty() ? "dark" : lit.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    std::signal(SIGINT, [](int) { stop_asked = 1; });
    std::signal(SIGTERM, [](int) { stop_asked = 1; });
    std::signal(SIGUSR1, [](int) { pull_asked = 1; });
    std::signal(SIGUSR2, [](int) { plug_asked = 1; });
    prctl(PR_SET_PDEATHSIG, SIGTERM);

    auto context = std::make_unique<VerilatedContext>();
    auto whole = std::make_unique<Chip>(context.get());
    Vchip* top = &whole->top;
    Terminal terminal(options);
    Speaker speaker(options.flip, 2 * options.seed);
    Listener listener(options.flip, 2 * options.seed + 1);
    uint8_t in[CHUNK];
    size_t at = 0, count = 0;
    uint64_t cycle = 0, busy = 0, idle = 0, carried = 0, heard = 0, pulls = 0;
    double period = options.clock / double(options.baud);
    bool before = true;     // the level of tx
    unsigned lights = 0;
    using Clock = std::chrono::steady_clock;
    Clock::time_point back{};
    const auto begin = Clock::now();
    double asleep = 0;

    const auto drive = [&](bool level) {
        if (top->i_rx == level) return;
        top->i_rx = level;
        if (Chip::PLACES) whole->settle();
    };
    const auto pull = [&](double away) {
        if (!terminal.plugged()) return;
        pulls++;
        terminal.pull();
        speaker.silence();
        at = count = 0;
        drive(true);
        back = Clock::now() + std::chrono::microseconds(int64_t(1e6 * away));
        if (!options.power) {
            whole = std::make_unique<Chip>(context.get());
            top = &whole->top;
            before = true;
        }
    };

    terminal.plug();
    while (!stop_asked) {
        if (pull_asked) {
            pull_asked = 0;
            pull(1e9);
        }
        if (!terminal.plugged() && (plug_asked || Clock::now() >= back)) {
            plug_asked = 0;
            terminal.plug();
        }
        if (at == count) {
            at = 0;
            count = terminal.fetch(in, CHUNK);
            if (count) period = options.clock / terminal.rate();
        }
        terminal.flush();
        if (idle >= REST && at == count) {
            const auto slept = Clock::now();
            terminal.wait(terminal.plugged() ? 1000 : 20);
            asleep += std::chrono::duration<double>(Clock::now() - slept).count();
            if (at == count) {
                count = terminal.fetch(in, CHUNK);
                if (count) period = options.clock / terminal.rate();
            }
            if (at == count) continue;
            idle = 0;
        }
        for (uint64_t end = cycle + BURST; cycle != end; cycle++) {
            if (speaker.next() <= cycle) drive(speaker.turn());
            if (speaker.resting() && at != count) {
                carried++;
                speaker.say(in[at++], cycle, period);
                if (speaker.next() <= cycle) drive(speaker.turn());
                if (options.unplug_every && carried % options.unplug_every == 0) pull(options.away);
            }
            whole->clock();
            const bool level = top->o_tx;
            if (!listener.listening()) {
                if (before && !level) listener.fell(cycle, period);
            } else if (listener.next() <= cycle && listener.take(level)) {
                terminal.put(listener.byte());
                heard++;
            }
            before = level;
            const bool works = !(top->o_lights & IDLE_LIGHT) | !speaker.resting() | listener.listening() | (at != count);
            busy += works;
            idle = works ? 0 : idle + 1;
            if (options.lights && lights != top->o_lights) {
                lights = top->o_lights;
                show(lights, double(cycle) / options.clock);
            }
        }
    }
    terminal.pull();
    if (options.stats) {
        const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
        std::fprintf(stderr, "{\"cycles\": %llu, \"busy\": %llu, \"seconds\": %.3f, \"asleep\": %.3f, \"slept\": %llu, "
                     "\"bytes_in\": %llu, \"bytes_out\": %llu, \"pulls\": %llu}\n", (unsigned long long)cycle,
                     (unsigned long long)busy, seconds, asleep, (unsigned long long)whole->slept(),
                     (unsigned long long)carried, (unsigned long long)heard, (unsigned long long)pulls);
    }
    return 0;
}
