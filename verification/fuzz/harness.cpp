// Bytes of every kind against the chip's end of the link, beside a model of it written from docs/link.md.
//
// The model takes the same bytes. What the link hands on, how it counts frames and what it answers must be what the model
// says, whatever the bytes; and after every segment a new session must be answered and must carry payload.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "chip.h"
#include "verilated.h"

namespace {

constexpr uint8_t FLAG = 0x7E, ESCAPE = 0x7D, XOR = 0x20;
constexpr unsigned HELLO = 1, RESEND = 0x10, POLL = 0x20, FRESH = 0x40;
constexpr size_t BARE = 8, LONGEST = 264;
constexpr int VERSION = 3;
constexpr int SETTLES = 800;    // cycles after which an idle line must have answered
using Bytes = std::vector<uint8_t>;

uint32_t table[256];

void make_table() {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        table[n] = c;
    }
}

uint32_t checksum(const uint8_t* content, size_t count, uint32_t start = ~0u) {
    for (size_t k = 0; k < count; k++) start = table[(start ^ content[k]) & 0xFF] ^ start >> 8;
    return ~start;
}

bool whole(const Bytes& body) {
    if (body.size() < BARE || body.size() > LONGEST) return false;
    uint32_t given = 0;
    for (int k = 0; k < 4; k++) given |= uint32_t(body[body.size() - 4 + k]) << 8 * k;
    return checksum(body.data(), body.size() - 4) == given;
}

// Cuts bytes of a line at flags.
class Cutter {
  public:
    // True if a flag ended something; `body` then holds it, and `cut` whether it ended on an escape.
    bool take(uint8_t byte) {
        if (ended) { body.clear(); ended = cut = false; }
        if (byte == FLAG) {
            const bool end = inside_;
            cut = escaped_;
            inside_ = escaped_ = false;
            return ended = end;
        }
        inside_ = true;
        if (byte == ESCAPE) escaped_ = true;
        else {
            if (body.size() <= LONGEST + 8) body.push_back(escaped_ ? byte ^ XOR : byte);
            escaped_ = false;
        }
        return false;
    }
    Bytes body;
    bool cut = false, ended = false;

  private:
    bool inside_ = false, escaped_ = false;
};

// What the link must do with the line's bytes.
struct Model {
    Cutter line;
    unsigned expected = 0;
    uint32_t nonce = 0, good = 0, bad = 0;
    std::deque<uint16_t> payload;   // to be handed on; bit 8 ends a frame
    bool fits = true;               // whether a frame that is next is taken, where the ring may be full
    uint64_t accepted = 0, sessions = 0, judged = 0, slipped = 0;
    bool damaged = false;           // the frame under way was damaged on purpose,
    Bytes intended;                 // and this is what it was before

    void take(uint8_t byte) {
        if (!line.take(byte)) return;
        judged++;
        const Bytes& body = line.body;
        if (line.cut || !whole(body)) { bad++; return; }
        if (damaged && body != intended) slipped++;
        const unsigned kind = body[0] & 0x0F;
        const size_t count = body.size() - BARE;
        if (kind == HELLO && count == 4) {
            good++;
            sessions++;
            expected = 0;
            payload.clear();
            nonce = body[4] | body[5] << 8 | body[6] << 16 | uint32_t(body[7]) << 24;
        } else if (kind == HELLO && count == 0) good++;
        else if (kind == 0) {
            good++;
            if (body[1] == expected && count && fits) accept(body);
        } else bad++;
    }

    void accept(const Bytes& body) {
        const size_t count = body.size() - BARE;
        for (size_t k = 0; k < count; k++) payload.push_back(body[4 + k] | (k + 1 == count) << 8);
        expected = (expected + 1) & 0xFF;
        accepted++;
    }
};

class Fuzzer {
  public:
    Fuzzer(uint64_t seed) : random_(seed), chip_(std::make_unique<Chip>(&context_)), top_(chip_->top) {
        top_.o_packet_ready = 1;
    }

    void segment() {
        greet();
        // Of what follows all is random, but its proportions differ from segment to segment.
        const unsigned calm = below(8);
        for (unsigned n = 0, count = 100 + below(900); n < count; n++) {
            if (below(8) < calm) in_order();
            else strange();
        }
        settle();
        if (below(4) == 0) crowd();
        greet();
        for (int n = 0; n < 3; n++) in_order();
        settle();
        answer();
        segments++;
    }

    Model model;
    uint64_t bytes = 0, cycles = 0, answers = 0, segments = 0, refused_full = 0;
    uint64_t kinds[16] = {};

  private:
    unsigned below(unsigned n) { return unsigned(random_() % n); }

    [[noreturn]] void fail(const char* what) {
        std::fprintf(stderr, "after %llu bytes, segment %llu: %s\n", (unsigned long long)bytes,
                     (unsigned long long)segments, what);
        std::fprintf(stderr, "last bytes:");
        for (uint8_t byte : last_) std::fprintf(stderr, " %02x", byte);
        std::fprintf(stderr, "\n");
        std::exit(1);
    }

    void clock() {
        if (top_.o_line_valid) hear(top_.o_line_payload);
        if (top_.o_packet_valid && top_.o_packet_ready) {
            if (model.payload.empty()) fail("payload was handed on that no good frame held");
            if (model.payload.front() != top_.o_packet_payload) fail("other payload was handed on than had come");
            model.payload.pop_front();
        }
        chip_->clock();
        cycles++;
    }

    void send(uint8_t byte) {
        if (!top_.i_line_ready) fail("the line was held back");
        last_.push_back(byte);
        if (last_.size() > 600) last_.pop_front();
        top_.i_line_payload = byte;
        top_.i_line_valid = 1;
        bytes++;
        const uint64_t sessions = model.sessions;
        model.take(byte);
        const bool begins = model.sessions != sessions;
        // Up to the link's verdict, payload of the session before would still be handed on.
        if (begins) top_.o_packet_ready = 0;
        clock();
        top_.i_line_valid = 0;
        for (int k = 0; begins && k < 8; k++) clock();
        if (begins) top_.o_packet_ready = 1;
    }

    void send(const Bytes& line) {
        for (uint8_t byte : line) {
            send(byte);
            // A line has gaps, too.
            if (gaps_ && below(16) == 0) for (unsigned k = below(6); k; k--) clock();
        }
    }

    void hear(uint8_t byte) {
        if (!heard_.take(byte)) return;
        if (heard_.cut || !whole(heard_.body)) fail("the link sent a damaged frame");
        answers++;
        const Bytes& body = heard_.body;
        if (bool(body[0] & FRESH) != (model.sessions == 0)) fail("the link is wrong about whether a session began");
        last_answer_ = body;
        if ((body[0] & 0x0F) == HELLO) greeted_ = body;
    }

    void settle() {
        top_.o_packet_ready = 1;
        for (int k = 0; k < SETTLES; k++) clock();
        if (!model.payload.empty()) fail("a good frame was not handed on");
        if (top_.o_frames_ok != model.good) fail("whole frames were counted wrong");
        if (top_.o_frames_bad != model.bad) fail("damaged frames were counted wrong");
        if (top_.o_busy) fail("the link is busy with nothing to do");
    }

    uint8_t spiky() { return below(6) ? uint8_t(random_()) : below(2) ? FLAG : ESCAPE; }

    Bytes content(size_t count) {
        Bytes found(count);
        for (auto& byte : found) byte = spiky();
        return found;
    }

    size_t size() {
        switch (below(6)) {
            case 0: return 256;
            case 1: return 1 + below(256);
            default: return 1 + below(24);
        }
    }

    Bytes body(unsigned control, unsigned number, const Bytes& payload) {
        Bytes found{uint8_t(control), uint8_t(number), uint8_t(random_()), uint8_t(random_())};
        found.insert(found.end(), payload.begin(), payload.end());
        const uint32_t sum = checksum(found.data(), found.size());
        for (int k = 0; k < 4; k++) found.push_back(uint8_t(sum >> 8 * k));
        return found;
    }

    static Bytes stuffed(const Bytes& body) {
        Bytes line{FLAG};
        for (uint8_t byte : body) {
            if (byte == FLAG || byte == ESCAPE) { line.push_back(ESCAPE); line.push_back(byte ^ XOR); }
            else line.push_back(byte);
        }
        line.push_back(FLAG);
        return line;
    }

    void greet() {
        const uint32_t nonce = uint32_t(random_());
        Bytes payload{uint8_t(nonce), uint8_t(nonce >> 8), uint8_t(nonce >> 16), uint8_t(nonce >> 24)};
        send(stuffed(body(HELLO, VERSION, payload)));
        greeted_.clear();
        settle();
        if (greeted_.size() != BARE + 4 || std::memcmp(&greeted_[4], payload.data(), 4)) fail("no answer to a HELLO");
        if (greeted_[1] != VERSION || greeted_[2] != 0) fail("a wrong answer to a HELLO");
        // Whose session it is can be asked without changing it.
        greeted_.clear();
        send(stuffed(body(HELLO, VERSION, {})));
        settle();
        if (greeted_.size() != BARE + 4 || std::memcmp(&greeted_[4], payload.data(), 4)) fail("no answer to whose session");
        gaps_ = below(2);
    }

    void in_order() {
        kinds[0]++;
        const unsigned control = below(3) ? 0 : POLL;
        send(stuffed(body(control, model.expected, content(below(8) ? size() : 0))));
    }

    void damaged(const Bytes& line, const Bytes& intended = {}) {
        model.damaged = true;
        model.intended = intended;
        send(line);
        model.damaged = false;
    }

    void strange() {
        const unsigned kind = 1 + below(13);
        kinds[kind]++;
        const unsigned number = model.expected;
        Bytes good = body(below(4) ? 0 : POLL | RESEND, number, content(size())), line = stuffed(good);
        const size_t inside = line.size() - 2;
        switch (kind) {
            case 1: {   // bits flipped, flags too
                for (unsigned n = 1 + below(below(4) ? 3 : 40); n; n--) line[below(line.size())] ^= 1u << below(8);
                // Two flips of one bit are none.
                if (line == stuffed(good)) line[1] ^= 0x40;
                return damaged(line, good);
            }
            case 2: {   // a burst of up to 32 bits
                const unsigned length = 2 + below(31), at = 8 + below(unsigned(8 * inside - 8));
                const uint64_t pattern = (random_() & ((1ull << length) - 1)) | 1 | 1ull << (length - 1);
                for (unsigned k = 0; k < length; k++)
                    if (pattern >> k & 1 && (at + k) / 8 < line.size()) line[(at + k) / 8] ^= 1u << (at + k) % 8;
                return damaged(line, good);
            }
            case 3: {   // bytes lost
                const size_t at = 1 + below(unsigned(inside)), count = std::min<size_t>(1 + below(5), line.size() - 1 - at);
                line.erase(line.begin() + at, line.begin() + at + std::max<size_t>(count, 1));
                return damaged(line, good);
            }
            case 4: {   // a byte more
                line.insert(line.begin() + 1 + below(unsigned(inside)), below(2) ? spiky() : line[below(unsigned(inside))]);
                return damaged(line, good);
            }
            case 5: {   // ended early, with or without an escape
                line.resize(1 + below(unsigned(inside) + 1));
                if (below(2)) line.push_back(ESCAPE);
                line.push_back(FLAG);
                return damaged(line, good);
            }
            case 6: {   // one flag between frames
                Bytes next = stuffed(body(0, (number + 1) & 0xFF, content(size())));
                line.insert(line.end(), next.begin() + 1, next.end());
                return send(line);
            }
            case 7: {   // noise
                Bytes noise(1 + below(500));
                for (auto& byte : noise) byte = below(3) ? uint8_t(random_()) : spiky();
                noise.push_back(FLAG);
                return damaged(noise);
            }
            case 8:     // whole, but not the next
                return send(stuffed(body(below(2) ? 0 : POLL, number + 1 + below(255), content(size()))));
            case 9: {   // whole and too long, or too short
                if (below(2)) return send(stuffed(body(0, number, content(257 + below(400)))));
                Bytes some = content(below(8));
                return send(stuffed(some));
            }
            case 10:    // whole, of no kind, or a HELLO of the wrong length
                if (below(2)) return send(stuffed(body(2 + below(14), number, content(size()))));
                return send(stuffed(body(HELLO, VERSION, content(1 + below(3) + (below(2) ? 4 : 0)))));
            case 11: {  // a checksum as others would make it
                Bytes other(good.begin(), good.end() - 4);
                uint32_t sum = checksum(other.data(), other.size(), below(2) ? 0 : ~0u);
                switch (below(4)) {
                    case 0: sum = ~sum; break;
                    case 1: sum = __builtin_bswap32(sum); break;
                    case 2: sum = 0; break;
                    default: sum = ~0u; break;
                }
                for (int k = 0; k < 4; k++) other.push_back(uint8_t(sum >> 8 * k));
                if (other == good) return send(line);
                return damaged(stuffed(other));
            }
            case 12: {  // flags and escapes alone
                Bytes alone(1 + below(40));
                for (auto& byte : alone) byte = below(2) ? FLAG : ESCAPE;
                alone.push_back(FLAG);
                return damaged(alone);
            }
            default: {  // two bytes of the body changed about
                Bytes other = good;
                const size_t a = below(unsigned(other.size())), b = below(unsigned(other.size()));
                std::swap(other[a], other[b]);
                if (other == good) return send(line);
                return damaged(stuffed(other));
            }
        }
    }

    // Nobody takes payload until the ring is full: a frame is then refused, and taken when it comes again later.
    void crowd() {
        greet();
        top_.o_packet_ready = 0;
        Bytes frame = body(POLL, model.expected, content(200 + below(57)));
        for (unsigned n = 0; n < 30; n++) {
            const bool told = offer(frame);
            if (told) frame = body(POLL, model.expected, content(1 + below(256)));
            else refused_full++;
            if (below(8) == 0) top_.o_packet_ready = 1;
            if (top_.o_packet_ready) for (unsigned k = below(700); k; k--) clock();
        }
        top_.o_packet_ready = 1;
        for (int k = 0; k < 3 * SETTLES; k++) clock();
        if (!offer(frame)) fail("a good frame was refused though there was room");
        settle();
    }

    // Sends a frame that is next and polls; whether the answer says that it was taken.
    bool offer(const Bytes& frame) {
        model.fits = false;
        top_.o_packet_ready = 0;    // what was taken is known only from the answer
        last_answer_.clear();
        send(stuffed(frame));
        // A frame that told of room may have been on its way: the last one counts.
        for (int k = 0; k < 300; k++) clock();
        if (last_answer_.empty()) fail("no answer to a POLL");
        model.fits = true;
        const unsigned taken = (last_answer_[2] - model.expected) & 0xFF;
        if (taken > 1) fail("more was acknowledged than was sent");
        if (taken) model.accept(frame);
        return taken;
    }

    // What the chip has to say comes out.
    void answer() {
        Bytes said;
        for (unsigned n = 0, count = 1 + below(20); n < count; n++) {
            const uint8_t byte = spiky();
            said.push_back(byte);
            top_.i_packet_payload = byte | (n + 1 == count) << 8;
            top_.i_packet_valid = 1;
            if (!top_.i_packet_ready) fail("no room for an answer");
            clock();
        }
        top_.i_packet_valid = 0;
        last_answer_.clear();
        settle();
        if (last_answer_.size() != BARE + said.size() || last_answer_[1] != 0 ||
            !std::equal(said.begin(), said.end(), last_answer_.begin() + 4))
            fail("an answer did not come out");
    }

    std::mt19937_64 random_;
    VerilatedContext context_;
    std::unique_ptr<Chip> chip_;
    Vchip& top_;
    Cutter heard_;
    Bytes last_answer_, greeted_;
    std::deque<uint8_t> last_;
    bool gaps_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "two numbers are needed: bytes, seed\n");
        return 2;
    }
    make_table();
    const uint64_t wanted = std::strtoull(argv[1], nullptr, 10);
    Fuzzer fuzzer(std::strtoull(argv[2], nullptr, 10));
    while (fuzzer.bytes < wanted) fuzzer.segment();
    const Model& model = fuzzer.model;
    std::printf("{\"bytes\": %llu, \"cycles\": %llu, \"judged\": %llu, \"good\": %u, \"bad\": %u, \"accepted\": %llu, "
                "\"sessions\": %llu, \"slipped\": %llu, \"answers\": %llu, \"segments\": %llu, \"refused_full\": %llu, "
                "\"kinds\": [", (unsigned long long)fuzzer.bytes, (unsigned long long)fuzzer.cycles,
                (unsigned long long)model.judged, model.good, model.bad, (unsigned long long)model.accepted,
                (unsigned long long)model.sessions, (unsigned long long)model.slipped, (unsigned long long)fuzzer.answers,
                (unsigned long long)fuzzer.segments, (unsigned long long)fuzzer.refused_full);
    for (int k = 0; k < 14; k++) std::printf("%s%llu", k ? ", " : "", (unsigned long long)fuzzer.kinds[k]);
    std::printf("]}\n");
    return 0;
}
