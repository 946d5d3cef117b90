// Drives a WideMesh with random traffic and compares what arrives with what was sent.
//
//   traffic TABLE RATE FLITS WARM-UP CYCLES SEED STALL
//
// TABLE: lines "source mask weight", mask in decimal. RATE: flits per sender and cycle, on channel 0. A packet is made
// at random times and waits without bound to be handed over. STALL: chance that a sink takes nothing in a cycle.
// Prints JSON: flits accepted per sender and cycle, flits that arrived per place and cycle, and the latency, from the
// making of a packet to its last flit taken, of packets that arrived after WARM-UP; ends with 1 and a sentence if
// anything is lost, repeated, changed or out of order.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "Vwide.h"
#include "verilated.h"

namespace {

constexpr int kPlaces = NODES + 1, kStreams = kPlaces * CHANNELS;

struct Packet {
    uint64_t made;
    int flits;
    uint64_t header;
    uint64_t serial;
};

// Ports of up to 64 bits are integers, wider ones arrays of 32-bit words.
template <typename T> uint32_t part(const T& port, int word) { return uint32_t(uint64_t(port) >> 32 * word); }
template <std::size_t N> uint32_t part(const VlWide<N>& port, int word) { return port[word]; }
template <typename T> void put(T& port, int word, uint32_t value) {
    port = T((uint64_t(port) & ~(uint64_t(0xFFFFFFFF) << 32 * word)) | uint64_t(value) << 32 * word);
}
template <std::size_t N> void put(VlWide<N>& port, int word, uint32_t value) { port[word] = value; }
template <typename T> bool bit(const T& port, int place) { return part(port, place / 32) >> place % 32 & 1; }
template <typename T> void set(T& port, int place, bool value) {
    uint32_t word = part(port, place / 32), mask = uint32_t(1) << place % 32;
    put(port, place / 32, value ? word | mask : word & ~mask);
}

[[noreturn]] void fail(const std::string& sentence) {
    std::printf("%s\n", sentence.c_str());
    std::exit(1);
}

uint64_t flit(const Packet& packet, int place) {
    uint64_t data = place ? (packet.serial << 4 | unsigned(place)) & 0xFFFFFFFF : packet.header;
    return data | uint64_t(place == packet.flits - 1) << FLIT_BITS;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 8) fail("usage: traffic TABLE RATE FLITS WARM-UP CYCLES SEED STALL");
    const double rate = std::atof(argv[2]), stall = std::atof(argv[7]);
    const int flits = std::atoi(argv[3]);
    const uint64_t warm = std::strtoull(argv[4], nullptr, 10), end = warm + std::strtoull(argv[5], nullptr, 10);
    std::mt19937_64 random(std::strtoull(argv[6], nullptr, 10));
    std::uniform_real_distribution<double> chance(0.0, 1.0);
    std::vector<std::vector<std::pair<double, uint64_t>>> table(kPlaces);
    std::ifstream file(argv[1]);
    int source;
    uint64_t mask;
    double weight;
    while (file >> source >> mask >> weight) table[source].push_back({weight, mask});
    int senders = 0;
    for (auto& choices : table) senders += !choices.empty();

    VerilatedContext context;
    Vwide mesh{&context};
    std::vector<std::deque<Packet>> queues(kPlaces);
    std::vector<int> sent(kPlaces), got(kPlaces);
    std::vector<int> from(kPlaces, -1);
    std::map<std::pair<int, int>, std::deque<Packet>> flows;
    std::vector<uint64_t> latencies;
    uint64_t accepted = 0, arrived = 0, serial = 0;

    mesh.rst = 1;
    mesh.clk = 0; mesh.eval(); mesh.clk = 1; mesh.eval(); mesh.clk = 0; mesh.eval();
    mesh.rst = 0;
    for (uint64_t cycle = 0; cycle < end; ++cycle) {
        for (int place = 0; place < kPlaces; ++place) {
            if (!table[place].empty() && chance(random) < rate / flits) {
                double pick = chance(random);
                uint64_t to = table[place].back().second;
                for (auto& [share, choice] : table[place]) {
                    if (pick < share) { to = choice; break; }
                    pick -= share;
                }
                uint64_t header = to | uint64_t(flits - 1) << (NODES + 1) | uint64_t(place) << (NODES + 1 + LENGTH_BITS);
                queues[place].push_back({cycle, flits, header & 0xFFFFFFFF, serial++});
            }
            const int stream = place * CHANNELS;
            set(mesh.i_valid, stream, !queues[place].empty());
            if (!queues[place].empty()) {
                uint64_t word = flit(queues[place].front(), sent[place]);
                put(mesh.i_payload, 2 * stream, uint32_t(word));
                put(mesh.i_payload, 2 * stream + 1, uint32_t(word >> 32));
            }
        }
        for (int stream = 0; stream < kStreams; ++stream) set(mesh.o_ready, stream, !stall || chance(random) >= stall);
        mesh.eval();
        for (int place = 0; place < kPlaces; ++place) {
            const int stream = place * CHANNELS;
            if (bit(mesh.i_valid, stream) && bit(mesh.i_ready, stream)) {
                accepted += cycle >= warm;
                Packet& packet = queues[place].front();
                if (++sent[place] == packet.flits) {
                    for (int to = 0; to < kPlaces; ++to)
                        if (packet.header >> to & 1) flows[{place, to}].push_back(packet);
                    queues[place].pop_front();
                    sent[place] = 0;
                }
            }
            if (bit(mesh.o_valid, stream) && bit(mesh.o_ready, stream)) {
                uint64_t word = part(mesh.o_payload, 2 * stream) | uint64_t(part(mesh.o_payload, 2 * stream + 1)) << 32;
                if (!got[place]) from[place] = int(word >> (NODES + 1 + LENGTH_BITS) & 31);
                auto flow = flows.find({from[place], place});
                if (flow == flows.end() || flow->second.empty()) fail("a packet came that nobody sent");
                Packet& packet = flow->second.front();
                if (word != flit(packet, got[place])) fail("a flit was lost, repeated, changed or out of order");
                arrived += cycle >= warm;
                if (++got[place] == packet.flits) {
                    if (cycle >= warm) latencies.push_back(cycle - packet.made);
                    flow->second.pop_front();
                    got[place] = 0;
                }
            }
        }
        mesh.clk = 1; mesh.eval(); mesh.clk = 0;
    }
    std::sort(latencies.begin(), latencies.end());
    double sum = 0;
    for (uint64_t latency : latencies) sum += double(latency);
    const double count = double(end - warm);
    std::printf("{\"accepted\": %.6f, \"arrived\": %.6f, \"packets\": %zu, \"mean\": %.4f, \"p99\": %llu, \"max\": %llu}\n",
                double(accepted) / count / senders, double(arrived) / count / NODES, latencies.size(),
                latencies.empty() ? 0.0 : sum / double(latencies.size()),
                latencies.empty() ? 0ull : (unsigned long long)latencies[latencies.size() * 99 / 100],
                latencies.empty() ? 0ull : (unsigned long long)latencies.back());
    return 0;
}
