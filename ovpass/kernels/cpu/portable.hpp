// Any processor: 64 rows of a block are decoded to floats in the L1 cache, then multiplied.
#pragma once
#include "parallel.hpp"
#include "weights.hpp"

namespace vector_quantized {

// The codebooks [book][component][kMostEntries].
inline std::vector<float> floats_of(const Shape& s, const Codebooks& books) {
    std::vector<float> values(s.books * s.d * kMostEntries);
    for (size_t b = 0; b < s.books; b++)
        for (size_t e = 0; e < s.entries; e++)
            for (size_t j = 0; j < s.d; j++) values[(b * s.d + j) * kMostEntries + e] = books.at(s, b, e, j);
    return values;
}

// Adds `tokens` tokens' products with a block to sums [tokens][64].
inline void add_block(const Weights& w, const float* books, const float* x, size_t tokens, size_t block,
                      size_t row_block, float* sums) {
    const Shape& s = w.shape;
    const size_t first = block * kTables;
    float column[kRows];
    for (size_t t = 0; t < s.tables_in(block); t++)
        for (size_t j = 0; j < s.d; j++) {
            const uint8_t* codes = w.block_of(block, row_block) + t * kRows;
            const float* values = books + ((first + t) % s.books * s.d + j) * kMostEntries;
            for (size_t r = 0; r < kRows; r++) column[r] = values[codes[r]];
            const float* xs = x + (first + t) / s.books * s.d + j;
            for (size_t i = 0; i < tokens; i++)
                for (size_t r = 0; r < kRows; r++) sums[i * kRows + r] += xs[i * s.k] * column[r];
        }
}

inline void multiply_portable(const Weights& w, const Codebooks& books, const float* x, float* y, size_t tokens) {
    const size_t rows = w.shape.row_blocks(), at_once = 32;
    const std::vector<float> values = floats_of(w.shape, books);
    for_each(rows * divided_up(tokens, at_once), [&](size_t i) {
        const size_t row_block = i % rows, from = i / rows * at_once, count = std::min(at_once, tokens - from);
        float sums[at_once * kRows] = {};
        for (size_t block = 0; block < w.shape.blocks(); block++)
            add_block(w, values.data(), x + from * w.shape.k, count, block, row_block, sums);
        const size_t first = row_block * kRows, left = std::min(kRows, w.shape.n - first);
        for (size_t t = 0; t < count; t++)
            for (size_t r = 0; r < left; r++)
                y[(from + t) * w.shape.n + first + r] = sums[t * kRows + r] * from_f16(w.scale[first + r]);
    });
}

}  // namespace vector_quantized
