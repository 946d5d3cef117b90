// Sums of weights over the inputs that spiked, and of errors over the steps in which an input spiked.

#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernel_exact.h"

namespace {

// Lists of integers: list k is items[starts[k]] .. items[starts[k + 1]].
struct Lists {
    std::vector<int32_t> items;
    std::vector<int64_t> starts;
};

// Writes the positions of the ones among the bytes of a row, and returns how many. Without a branch on a byte, which no
// processor would predict.
inline int64_t find_ones(const uint8_t *row, int64_t length, int32_t *found) {
    int64_t count = 0;
    for (int64_t i = 0; i < length; i++) {
        found[count] = (int32_t)i;
        count += row[i];
    }
    return count;
}

// Of each of `rows` rows, the columns from first to last that spiked, counted from the first.
Lists spikes_by_row(const uint8_t *spikes, int64_t rows, int64_t columns, int64_t first, int64_t last) {
    int64_t count = 0;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = first; i < last; i++) count += spikes[row * columns + i];
    Lists lists;
    lists.items.resize(count + 1);  // find_ones writes one more than it keeps
    lists.starts.push_back(0);
    for (int64_t row = 0; row < rows; row++) {
        int32_t *found = lists.items.data() + lists.starts.back();
        lists.starts.push_back(lists.starts.back() + find_ones(spikes + row * columns + first, last - first, found));
    }
    return lists;
}

// Of each column from first to last, the rows in which it spiked.
Lists spikes_by_column(const uint8_t *spikes, int64_t rows, int64_t columns, int64_t first, int64_t last) {
    const Lists by_row = spikes_by_row(spikes, rows, columns, first, last);
    Lists lists;
    lists.items.resize(by_row.starts.back());
    lists.starts.assign(last - first + 1, 0);
    for (int64_t k = 0; k < by_row.starts.back(); k++) lists.starts[by_row.items[k] + 1]++;
    std::partial_sum(lists.starts.begin(), lists.starts.end(), lists.starts.begin());
    std::vector<int64_t> next = lists.starts;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t k = by_row.starts[row]; k < by_row.starts[row + 1]; k++)
            lists.items[next[by_row.items[k]]++] = (int32_t)row;
    return lists;
}

// Sums of rows of a table, a strip of its columns at a time, for which the table's part stays in the cache and the
// sums in registers. Item is double, or int32_t in units where no sum can leave it: half the bytes to read.
template <class Item>
class Strip {
public:
    static constexpr int64_t COLUMNS = 64;
    static constexpr int64_t TERMS = 1 << 11;  // doubles hold the sum of so many, and to_units takes it

    // A copy of `rows` rows of `columns` columns, at most COLUMNS, filled up with zeros to whole vectors.
    Strip(const double *table, int64_t stride, int64_t rows, int64_t columns)
        : width_((columns + LANES - 1) / LANES), lines_(rows * width_) {
        for (int64_t row = 0; row < rows; row++) {
            Item *packed = (Item *)(lines_.data() + row * width_);
            for (int64_t j = 0; j < columns; j++)
                packed[j] = sizeof(Item) == 8 ? (Item)table[row * stride + j] : (Item)(table[row * stride + j] * UNITS);
        }
    }

    // Adds to units[0 .. columns] the sum of the rows in a list.
    void add(const int32_t *item, const int32_t *end, int64_t *units, int64_t columns) const {
        for (const int32_t *stop; item < end; item = stop) {
            stop = end - item > TERMS ? item + TERMS : end;
            Item sum[COLUMNS];
            switch (width_) {
                case 1: rows<1>(item, stop, sum); break;
                case 2: rows<2>(item, stop, sum); break;
                case 3: rows<3>(item, stop, sum); break;
                case 4: rows<4>(item, stop, sum); break;
                case 5: rows<5>(item, stop, sum); break;
                case 6: rows<6>(item, stop, sum); break;
                case 7: rows<7>(item, stop, sum); break;
                default: rows<8>(item, stop, sum);
            }
            for (int64_t j = 0; j < columns; j++)
                units[j] += sizeof(Item) == 8 ? to_units((double)sum[j]) : (int64_t)sum[j];
        }
    }

private:
    typedef Item Vector __attribute__((vector_size(64)));
    struct Line {
        Vector items = {};
    };
    static constexpr int64_t LANES = 64 / sizeof(Item);

    template <int WIDTH>
    void rows(const int32_t *item, const int32_t *end, Item *sums) const {
        Vector sum[WIDTH] = {};
        for (; item < end; item++)
            for (int k = 0; k < WIDTH; k++) sum[k] += lines_[*item * WIDTH + k].items;
        std::memcpy(sums, sum, WIDTH * LANES < COLUMNS ? sizeof sum : COLUMNS * sizeof(Item));
    }

    int64_t width_;
    std::vector<Line> lines_;
};

// Whether the magnitudes in every column add up to less than 2^31 units.
bool is_small(const double *table, int64_t stride, int64_t rows, int64_t columns) {
    double sums[64] = {}, greatest = 0;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t j = 0; j < columns; j++) sums[j] += std::fabs(table[row * stride + j]);
    for (double sum : sums) greatest = std::max(greatest, sum);
    return greatest < 128;
}

// units[list, 0 .. width] += the sum of the rows of `table` [rows, width] in each list, exact.
void add_lists(const double *table, int64_t rows, int64_t width, const Lists &lists, int64_t *units) {
    auto with = [&](const auto &strip, int64_t column, int64_t columns) {
        for (size_t k = 0; k + 1 < lists.starts.size(); k++) {
            const int32_t *items = lists.items.data();
            strip.add(items + lists.starts[k], items + lists.starts[k + 1], units + k * width + column, columns);
        }
    };
    const int64_t most = Strip<double>::COLUMNS;
    for (int64_t column = 0; column < width; column += most) {
        const int64_t columns = std::min(most, width - column);
        const double *part = table + column;
        if (is_small(part, width, rows, columns))
            with(Strip<int32_t>(part, width, rows, columns), column, columns);
        else
            with(Strip<double>(part, width, rows, columns), column, columns);
    }
}

}  // namespace
