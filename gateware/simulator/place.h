// A place of a repeated module: a verilated model that sleeps while nothing in it changes.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "verilated.h"

constexpr int ROUNDS = 10000;  // over the wires, until a chip does not settle

// Copies a port to the other end of its wires; true if that changed it.
template <class T> inline bool pass(T& to, const T& from) {
    if (to == from) return false;
    to = from;
    return true;
}
template <std::size_t N> inline bool pass(VlWide<N>& to, const VlWide<N>& from) {
    if (std::memcmp(&to, &from, sizeof to) == 0) return false;
    to = from;
    return true;
}

inline void clear(CData& port) { port = 0; }
inline void clear(SData& port) { port = 0; }
inline void clear(IData& port) { port = 0; }
inline void clear(QData& port) { port = 0; }
template <std::size_t N> inline void clear(VlWide<N>& port) { std::memset(&port, 0, sizeof port); }

// What a model computes depends on nothing but the bytes of its state, inputs included, unless it draws random words
// (SLEEPS false). So if a clock cycle leaves all bytes as they were, the next one will, until an input changes. Looking
// takes as long as some cycles; it is done after 8 cycles, 16, 32, and so on, then every 2048.
template <class Model, class State, bool SLEEPS> class Place {
  public:
    Place(VerilatedContext* context) : model(context) { model.clk = 0; }

    Model model;
    bool fresh = true;   // outputs may have changed since this was made false
    uint64_t slept = 0;  // cycles

    void clock() {
        if (asleep_) {
            slept++;
            return;
        }
        const bool look = SLEEPS && --left_ == 0;
        static std::vector<char> before(SLEEPS ? sizeof(State) : 0);
        const void* const state = model.rootp->vlSymsp;
        if (look) std::memcpy(before.data(), state, before.size());
        model.clk = 1;
        model.eval();
        model.clk = 0;
        model.eval();
        fresh = true;
        if (look) {
            asleep_ = std::memcmp(before.data(), state, before.size()) == 0;
            left_ = patience_ = std::min(2 * patience_, MOST);
        }
    }

    // An input has changed.
    void settle() {
        if (asleep_) left_ = patience_ = LEAST;
        asleep_ = false;
        model.eval();
        fresh = true;
    }

  private:
    static constexpr uint32_t LEAST = 8, MOST = 2048;
    bool asleep_ = false;
    uint32_t patience_ = LEAST, left_ = LEAST;
};

[[noreturn]] inline void unsettled() {
    std::fprintf(stderr, "the chip has a circle of wires through its repeated modules that does not settle\n");
    std::exit(3);
}
