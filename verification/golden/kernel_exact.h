// Numbers of the kernel: doubles that hold binary16 values, exact sums of them, and the one rounding.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr double LARGEST = 65504.0;
constexpr double UNIT = 0x1p-24, UNITS = 0x1p24;
constexpr double INTEGERS = 0x1.8p52;  // added to an integer below 2^51, puts it into the last bits of a double

inline int64_t bits_of(double x) {
    int64_t bits;
    std::memcpy(&bits, &x, 8);
    return bits;
}

inline double double_of(int64_t bits) {
    double x;
    std::memcpy(&x, &bits, 8);
    return x;
}

// Between doubles and integers of units, below 2^51. Processors without such an instruction for vectors have these.
inline int64_t to_units(double x) { return bits_of(x * UNITS + INTEGERS) - bits_of(INTEGERS); }
inline double from_units(int64_t units) { return (double_of(units + bits_of(INTEGERS)) - INTEGERS) * UNIT; }

// An exact sum as a double. Beyond 2^50 units it is cut off, for it saturates whatever it is.
inline double from_sum(int64_t units) {
    const int64_t most = 1ll << 50;
    return from_units(units > most ? most : units < -most ? -most : units);
}

// To 11 bits, ties to even, not finer than 2^-24; a zero is +0. See to_nearest in numeric.py.
inline double nearest(double x) {
    const double power = double_of(bits_of(x) & 0x7FFll << 52);
    const double shift = (power < 0x1p-14 ? 0x1p-14 : power) * 0x1.8p42;
    return (x + shift) - shift;
}

// rnd: saturates; `peak` gathers the greatest magnitude that came, which tells whether it had to.
inline double rnd(double x, double &peak) {
    const double y = nearest(x), size = std::fabs(y);
    peak = size > peak ? size : peak;
    const double z = y > LARGEST ? LARGEST : y;
    return z < -LARGEST ? -LARGEST : z;
}

// a + b rounded to odd, so that `nearest` rounds the exact sum. See odd_sum in numeric.py.
inline double odd_sum(double a, double b) {
    const double total = a + b, part = total - a;
    const double error = (a - (total - part)) + (b - part);
    const int64_t bits = bits_of(total);
    const bool move = error != 0 && !(bits & 1);
    return double_of(bits + (move ? ((bits_of(error) ^ bits) >> 62) | 1 : 0));
}

// Greatest magnitude, in bits of units of 2^-24.
inline int width_of(const double *x, int64_t count) {
    double greatest = 0;
    for (int64_t k = 0; k < count; k++) {
        const double size = std::fabs(x[k]);
        greatest = size > greatest ? size : greatest;
    }
    const uint64_t units = (uint64_t)(greatest * UNITS);
    return units ? 64 - __builtin_clzll(units) : 0;
}

// Of products whose sums doubles hold exactly, so in any order.
inline double sum_of_products(const double *a, const double *b, int64_t count) {
    typedef double Lanes __attribute__((vector_size(64), aligned(8)));
    constexpr int64_t LANES = 8;
    Lanes sum = {};
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES) sum += *(const Lanes *)(a + k) * *(const Lanes *)(b + k);
    double total = 0;
    for (int lane = 0; lane < LANES; lane++) total += sum[lane];
    for (; k < count; k++) total += a[k] * b[k];
    return total;
}

// The exact dot product for any magnitudes, rounded to odd; beyond the range of binary16, any number beyond it.
inline double wide_dot(const double *a, const double *b, int64_t count) {
    __int128 sum = 0;
    for (int64_t k = 0; k < count; k++) sum += (__int128)(int64_t)(a[k] * UNITS) * (int64_t)(b[k] * UNITS);
    const unsigned __int128 size = sum < 0 ? -(unsigned __int128)sum : (unsigned __int128)sum;
    double odd = 0x1p20;
    if (!(size >> 64)) {
        const uint64_t low = (uint64_t)size;
        odd = low >> 53 ? (double)(low >> 11 | ((low & 0x7FF) != 0)) * 0x1p-37 : (double)low * 0x1p-48;
    }
    return sum < 0 ? -odd : odd;
}

}  // namespace
