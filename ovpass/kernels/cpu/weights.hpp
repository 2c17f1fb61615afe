// Vector-quantized weights as the kernels read them, and what they derive from the codebooks once.
//
// w[n][k] = scale[n] * sum over books b of codebook[b][code[n][k / d][b]][k % d]
//
// A table is one (group of d columns, book). Codes lie in blocks of kTables tables: [block][64-row block][table][64].
// A model holds bytes: the codes, then in f16 the codebooks [book][entry][component] and the scale [n].
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace vector_quantized {

constexpr size_t kRows = 64;    // rows that share a look-up
constexpr size_t kTables = 32;  // tables in a block
constexpr size_t kHalf = 2;     // bytes of f16
constexpr size_t kMostEntries = 256;

inline size_t divided_up(size_t a, size_t b) { return (a + b - 1) / b; }

struct Shape {
    size_t k, n, d, entries, books;
    size_t tables() const { return k / d * books; }
    size_t blocks() const { return divided_up(tables(), kTables); }
    size_t tables_in(size_t block) const { return std::min(kTables, tables() - block * kTables); }
    size_t row_blocks() const { return divided_up(n, kRows); }
    size_t code_bytes() const { return tables() * row_blocks() * kRows; }
    size_t values() const { return books * entries * d; }
    size_t bytes() const { return code_bytes() + (values() + n) * kHalf; }
    // Entries as the kernels hold them: whole registers of 64.
    size_t padded_entries() const { return entries <= 64 ? 64 : entries <= 128 ? 128 : 256; }
};

struct Weights {
    Shape shape;
    const uint8_t* codes;
    const uint16_t* scale;  // [n], f16

    const uint8_t* block_of(size_t block, size_t row_block) const {
        return codes + (block * kTables * shape.row_blocks() + row_block * shape.tables_in(block)) * kRows;
    }
};

inline float from_f16(uint16_t half) {
    const uint32_t magnitude = half & 0x7fff;
    if (magnitude < 0x400) return (half & 0x8000 ? -0x1p-24f : 0x1p-24f) * float(magnitude);  // subnormal
    const uint32_t bias = magnitude < 0x7c00 ? 127 - 15 : 255 - 31;  // the last exponent is that of infinities
    const uint32_t bits = uint32_t(half & 0x8000) << 16 | ((magnitude << 13) + (bias << 23));
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

inline uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// The codebooks in the forms that the kernels read; made once for an op.
struct Codebooks {
    const uint16_t* halves;       // as given: f16 [book][entry][component]
    std::vector<int16_t> pairs;   // [book][two components][padded entries][2], in `unit`s
    std::vector<uint8_t> planes;  // [book][component][low, high][padded entries]: the bytes of bf16
    float unit = 0.f;             // so that the largest magnitude is 32767
    float reach = 0.f;            // the lengths of the longest entry of each book, added up

    Codebooks(const Shape& s, const uint16_t* given) : halves(given) {
        const size_t padded = s.padded_entries();
        pairs.assign(s.books * s.d * padded, 0);
        planes.assign(s.books * s.d * 2 * padded, 0);
        for (size_t b = 0; b < s.books; b++) {
            float longest = 0.f;
            for (size_t e = 0; e < s.entries; e++) {
                float squares = 0.f;
                for (size_t j = 0; j < s.d; j++) {
                    const float value = at(s, b, e, j);
                    unit = std::max(unit, std::fabs(value) / 32767.f);
                    squares += value * value;
                }
                longest = std::max(longest, std::sqrt(squares));
            }
            reach += longest;
        }
        for (size_t b = 0; b < s.books; b++)
            for (size_t e = 0; e < s.entries; e++)
                for (size_t j = 0; j < s.d; j++) put(s, b, e, j, at(s, b, e, j));
    }

    float at(const Shape& s, size_t b, size_t e, size_t j) const { return from_f16(halves[(b * s.entries + e) * s.d + j]); }

  private:
    void put(const Shape& s, size_t b, size_t e, size_t j, float value) {
        const size_t component = b * s.d + j, padded = s.padded_entries();
        if (unit > 0.f) pairs[(component / 2 * padded + e) * 2 + j % 2] = static_cast<int16_t>(std::lround(value / unit));
        const uint16_t bits = to_bf16(value);
        planes[component * 2 * padded + e] = bits & 0xff;
        planes[(component * 2 + 1) * padded + e] = bits >> 8;
    }
};

}  // namespace vector_quantized
