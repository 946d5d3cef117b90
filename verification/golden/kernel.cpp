// The passes of the golden model for a processor: the bits of the PyTorch code in passes.py, neurons.py and
// optimiser.py, without its tensors in between. Sums visit only the inputs that spiked.
//
// Numbers are doubles that hold binary16 values, integers in units of 2^-24 up to 2^40; exact sums are int64 in these
// units. Arrays are C-contiguous: spikes and masks are bytes of 0 or 1, all traces
// [samples, steps, neurons], weights [inputs, outputs]. Every function returns 1 if a rounding went beyond 65504.
//
// Compile with -ffp-contract=off: a fused multiply-add would round once where the rules round twice.

#include <algorithm>
#include <thread>
#include <vector>

#include "kernel_exact.h"
#include "kernel_sums.h"

namespace {

// work(first, last) on parts of 0 .. count, in as many threads; whether the greatest peak they return is beyond range.
// `cost` is about that of one item in nanoseconds: a thread takes twenty microseconds and more to start.
template <class Work>
int parallel(int64_t threads, int64_t count, double cost, Work work) {
    threads = std::max<int64_t>(1, std::min({threads, count, (int64_t)(count * cost / 50e3)}));
    std::vector<double> peaks(threads, 0.0);
    std::vector<std::thread> others;
    auto part = [&](int64_t k) { peaks[k] = work(count * k / threads, count * (k + 1) / threads); };
    for (int64_t k = 1; k < threads; k++) others.emplace_back(part, k);
    part(0);
    for (auto &other : others) other.join();
    return *std::max_element(peaks.begin(), peaks.end()) > LARGEST;
}

// One layer; `decay` and `threshold` have an item per neuron.
struct Layer {
    int64_t inputs, outputs, soft, detach, strict, spiking;
    double half_width;
    const double *decay, *threshold;
};

// u[t] of a sample from the sums of its weights, and s[t] and m[t]; u and s of the step before lie `outputs` earlier.
// `v` is room for as many.
double step_forward(const Layer &layer, bool first, const int64_t *__restrict sums, const double *__restrict bias,
                    double *__restrict u, uint8_t *__restrict s, uint8_t *__restrict m, double *__restrict v) {
    const int64_t n = layer.outputs;
    const double *__restrict decay = layer.decay, *__restrict threshold = layer.threshold;
    double peak = 0;
    if (first) {
        for (int64_t j = 0; j < n; j++) v[j] = 0;
    } else if (!layer.spiking) {
        for (int64_t j = 0; j < n; j++) v[j] = u[j - n];
    } else if (layer.soft) {
        for (int64_t j = 0; j < n; j++) v[j] = rnd(u[j - n] - threshold[j] * s[j - n], peak);
    } else {
        for (int64_t j = 0; j < n; j++) v[j] = u[j - n] * (1 - s[j - n]);
    }
    for (int64_t j = 0; j < n; j++) u[j] = rnd(from_sum(sums[j]) + bias[j] + rnd(v[j] * decay[j], peak), peak);
    if (!layer.spiking) return peak;
    const double half_width = layer.half_width;
    if (layer.strict) {
        for (int64_t j = 0; j < n; j++) s[j] = u[j] > threshold[j];
    } else {
        for (int64_t j = 0; j < n; j++) s[j] = u[j] >= threshold[j];
    }
    for (int64_t j = 0; j < n; j++) m[j] = std::fabs(u[j] - threshold[j]) < half_width;
    return peak;
}

// d[t] of a sample, in whose place the error g stands, from d[t + 1] in `later`, which becomes d[t]. Plain sums do, for
// the reason that neurons.py gives.
double step_backward(const Layer &layer, const double *__restrict u, const uint8_t *__restrict s,
                     const uint8_t *__restrict m, double *__restrict d, double *__restrict later) {
    const int64_t n = layer.outputs;
    const double *__restrict decay = layer.decay, *__restrict gate = layer.soft ? layer.threshold : u;
    const double height = 0.5 / layer.half_width, reset = layer.soft ? 0 : 1;
    double peak = 0;
    if (!layer.spiking) {
        for (int64_t j = 0; j < n; j++) later[j] = d[j] = rnd(d[j] + rnd(later[j] * decay[j], peak), peak);
    } else if (layer.detach) {
        for (int64_t j = 0; j < n; j++) {
            const double leak = rnd(later[j] * decay[j] * (1 - reset * s[j]), peak);
            later[j] = d[j] = rnd(d[j] * m[j] * height + leak, peak);
        }
    } else {
        for (int64_t j = 0; j < n; j++) {
            // The gate is computed, so that it may overflow, wherever m = 1: at the last step too, where d[T] = 0.
            const double e = rnd(d[j] * m[j] - rnd(gate[j] * m[j] * decay[j], peak) * later[j], peak);
            const double leak = rnd(later[j] * decay[j] * (1 - reset * s[j]), peak);
            later[j] = d[j] = rnd(e * height + leak, peak);
        }
    }
    return peak;
}

// g[i] = rnd(sum over j of weight[i, j] d[j]) where m[i] is set, 0 elsewhere, for one step of a sample.
class Propagation {
public:
    Propagation(const double *weight, const double *d, int64_t inputs, int64_t outputs, int64_t rows)
        : weight_(weight), inputs_(inputs), outputs_(outputs) {
        // Where the magnitudes allow it, d is halved and two sums of doubles are exact; else integers are.
        const int bits = (width_of(d, rows * outputs) + 1) / 2;
        narrow_ = bits + width_of(weight, inputs * outputs) + (64 - __builtin_clzll((uint64_t)outputs)) <= 53;
        quantum_ = std::ldexp(1.0, bits - 24);
    }

    double row(const double *d, const uint8_t *m, double *g) const {
        std::fill(g, g + inputs_, 0.0);
        std::vector<int32_t> wanted(inputs_ + 1);
        wanted.resize(find_ones(m, inputs_, wanted.data()));
        std::vector<double> high(narrow_ ? outputs_ : 0), low(high.size());
        for (size_t j = 0; j < high.size(); j++) {
            high[j] = std::trunc(d[j] / quantum_) * quantum_;
            low[j] = d[j] - high[j];
        }
        double peak = 0;
        for (int32_t i : wanted) {
            const double *w = weight_ + i * outputs_;
            const double x = narrow_ ? odd_sum(sum_of_products(w, high.data(), outputs_),
                                               sum_of_products(w, low.data(), outputs_))
                                     : wide_dot(w, d, outputs_);
            g[i] = rnd(x, peak);
        }
        return peak;
    }

private:
    const double *weight_;
    int64_t inputs_, outputs_;
    bool narrow_;
    double quantum_;
};

double update_words(int64_t count, double *__restrict w, double *__restrict r, double *__restrict m,
                    const int64_t *__restrict units, double share, double rate, double momentum) {
    double peak = 0;
    for (int64_t k = 0; k < count; k++) {
        const double g = rnd(from_sum(units[k]), peak);
        const double v = rnd(rnd(m[k] * momentum, peak) + rnd(g * share, peak), peak);
        const double x = w[k] - (rnd(v * rate, peak) - r[k]) * 0x1p-10;
        const double y = rnd(x, peak);
        m[k] = v;
        w[k] = y;
        r[k] = rnd((x - y) * 0x1p10, peak);
    }
    return peak;
}

}  // namespace

extern "C" {

// u, and of a spiking layer s and m, from the spikes that come in.
int forward(const Layer *layer, const double *weight, const double *bias, const uint8_t *spikes, int64_t samples,
            int64_t steps, double *u, uint8_t *s, uint8_t *m, int64_t threads) {
    const int64_t n = layer->outputs, inputs = layer->inputs;
    return parallel(threads, samples, steps * (inputs + 2.0 * n), [=](int64_t first, int64_t last) {
        const int64_t start = first * steps, rows = (last - first) * steps;
        std::vector<int64_t> sums(rows * n, 0);
        add_lists(weight, inputs, n, spikes_by_row(spikes + start * inputs, rows, inputs, 0, inputs), sums.data());
        std::vector<double> v(n);
        double peak = 0;
        for (int64_t row = 0; row < rows; row++) {
            const int64_t at = (start + row) * n;
            peak = std::max(peak, step_forward(*layer, row % steps == 0, sums.data() + row * n, bias, u + at, s + at,
                                               m + at, v.data()));
        }
        return peak;
    });
}

// The errors g of the readouts y, in units of 2^-24: g = rnd(factor rnd(share y - target)).
int loss(int64_t count, const int64_t *y, const double *target, double share, double factor, double *g) {
    const int64_t part = (1 << 20) - 1;
    double peak = 0;
    for (int64_t k = 0; k < count; k++) {
        // y has up to 53 bits: its product is exact only in two parts. The upper one is a multiple of 2^-28 below 2^17,
        // so that the target joins it exactly.
        const double upper = (double)(y[k] >> 20) * 0x1p-4 * share, lower = (double)(y[k] & part) * UNIT * share;
        g[k] = rnd(rnd(odd_sum(upper - target[k], lower), peak) * factor, peak);
    }
    return peak > LARGEST;
}

// d of a layer from the errors g that stand in its place.
int backward(const Layer *layer, int64_t samples, int64_t steps, const double *u, const uint8_t *s, const uint8_t *m,
             double *d, int64_t threads) {
    const int64_t n = layer->outputs;
    return parallel(threads, samples, 2.0 * steps * n, [=](int64_t first, int64_t last) {
        double peak = 0;
        for (int64_t sample = first; sample < last; sample++) {
            std::vector<double> later(n, 0.0);
            for (int64_t row = (sample + 1) * steps - 1; row >= sample * steps; row--)
                peak = std::max(peak, step_backward(*layer, u + row * n, s + row * n, m + row * n, d + row * n,
                                                    later.data()));
        }
        return peak;
    });
}

// The errors g on the inputs of a layer from its d: [rows, outputs] to [rows, inputs], where m is set.
int propagate(const Layer *layer, const double *weight, int64_t rows, const double *d, const uint8_t *m, double *g,
              int64_t threads) {
    const int64_t inputs = layer->inputs, outputs = layer->outputs;
    const Propagation propagation(weight, d, inputs, outputs, rows);
    return parallel(threads, rows, inputs * 3.0, [=, &propagation](int64_t first, int64_t last) {
        double peak = 0;
        for (int64_t row = first; row < last; row++)
            peak = std::max(peak, propagation.row(d + row * outputs, m + row * inputs, g + row * inputs));
        return peak;
    });
}

// The exact gradient of `weight` [inputs, outputs] and, unless null, `bias` [outputs] in units of 2^-24; on top of what
// is there, or in place of it.
int gradient(const Layer *layer, int64_t rows, const uint8_t *spikes, const double *d, int64_t *weight, int64_t *bias,
             int64_t on_top, int64_t threads) {
    const int64_t inputs = layer->inputs, outputs = layer->outputs;
    if (bias) {
        if (!on_top) std::fill(bias, bias + outputs, 0);
        for (int64_t row = 0; row < rows; row++)
            for (int64_t j = 0; j < outputs; j++) bias[j] += to_units(d[row * outputs + j]);
    }
    return parallel(threads, inputs, (double)rows + outputs, [=](int64_t first, int64_t last) {
        if (!on_top) std::fill(weight + first * outputs, weight + last * outputs, 0);
        add_lists(d, rows, outputs, spikes_by_column(spikes, rows, inputs, first, last), weight + first * outputs);
        return 0.0;
    });
}

// The words W, R and M of `count` synapses after one batch, from its exact gradient; optimiser.py has the rules.
int update(int64_t count, double *w, double *r, double *m, const int64_t *units, double share, double rate,
           double momentum, int64_t threads) {
    return parallel(threads, count, 3.0, [=](int64_t first, int64_t last) {
        return update_words(last - first, w + first, r + first, m + first, units + first, share, rate, momentum);
    });
}

}  // extern "C"
