// Vector-quantized weights as the kernels read them, and what they derive from the codebooks once.
//
// w[n][k] = scale[n] * sum over books b of codebook[b][code[n][k / d][b]][k % d]
//
// A table is one (group of d columns, book). Codes lie in blocks of kTables tables: [block][64-row block][table][64].
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

inline size_t divided_up(size_t a, size_t b) { return (a + b - 1) / b; }

struct Shape {
    size_t k, n, d, entries, books;
    size_t tables() const { return k / d * books; }
    size_t blocks() const { return divided_up(tables(), kTables); }
    size_t tables_in(size_t block) const { return std::min(kTables, tables() - block * kTables); }
    size_t row_blocks() const { return divided_up(n, kRows); }
    // Entries as the kernels hold them: whole registers of 64.
    size_t padded_entries() const { return entries <= 64 ? 64 : entries <= 128 ? 128 : 256; }
};

struct Weights {
    Shape shape;
    const uint8_t* codes;
    const float* scale;  // [n]

    const uint8_t* block_of(size_t block, size_t row_block) const {
        return codes + (block * kTables * shape.row_blocks() + row_block * shape.tables_in(block)) * kRows;
    }
};

inline uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// The codebooks in the forms that the kernels read; made once for an op.
struct Codebooks {
    std::vector<float> plain;     // [book][component][padded entries]
    std::vector<float> packed;    // the same, in the order that packing to bytes makes natural
    std::vector<float> largest;   // [book][component]: the largest magnitude
    std::vector<uint8_t> planes;  // [book][component][low, high][padded entries]: the bytes of bf16

    Codebooks(const Shape& s, const float* values) {  // values: [book][entry][component]
        const size_t padded = s.padded_entries();
        plain.assign(s.books * s.d * padded, 0.f);
        packed.assign(s.books * s.d * padded, 0.f);
        largest.assign(s.books * s.d, 0.f);
        planes.assign(s.books * s.d * 2 * padded, 0);
        for (size_t b = 0; b < s.books; b++)
            for (size_t e = 0; e < s.entries; e++)
                for (size_t j = 0; j < s.d; j++) put(s, b, e, j, values[(b * s.entries + e) * s.d + j]);
    }

  private:
    void put(const Shape& s, size_t b, size_t e, size_t j, float value) {
        const size_t component = b * s.d + j, padded = s.padded_entries();
        plain[component * padded + e] = value;
        packed[component * padded + e / 64 * 64 + packed_position(e % 64)] = value;
        largest[component] = std::max(largest[component], std::fabs(value));
        const uint16_t bits = to_bf16(value);
        planes[component * 2 * padded + e] = bits & 0xff;
        planes[(component * 2 + 1) * padded + e] = bits >> 8;
    }

    // Two packs of 128-bit lanes turn registers q of 16 into 64 bytes: byte 16 L + 4 q + i is element 4 L + i of q.
    static size_t packed_position(size_t byte) { return byte % 16 / 4 * 16 + byte / 16 * 4 + byte % 4; }
};

}  // namespace vector_quantized
