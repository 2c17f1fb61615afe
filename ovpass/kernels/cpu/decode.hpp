// Many tokens: a tile of weights is decoded to bf16 by look-ups in registers, and multiplied while it is in a cache.
//
// Needs AVX-512 VBMI and BF16.
#pragma once
#include <immintrin.h>

#include "tables.hpp"

namespace vector_quantized {

constexpr size_t kTokens = 6;  // tokens whose sums are in registers: 6 x 4, beside 4 of weights

constexpr size_t kTileBlocks = 4;  // with all sums of a pass in registers, weights may come from the L2 cache

// A tile: 64 rows of some blocks' columns, [column / 2][64 rows as `write_rows` takes them] pairs of bf16.
struct Tile {
    alignas(64) uint32_t pairs[kTileBlocks * kTables * 8 / 2 * kRows];

    // Decodes blocks [first, last), and returns how many pairs of columns that are.
    template <int E>
    size_t decode(const Weights& w, const Codebooks& books, size_t first, size_t last, size_t row_block) {
        size_t done = 0;
        for (size_t block = first; block < last; block++) {
            for (size_t b = 0; b < w.shape.books; b++)
                for (size_t j = 0; j < w.shape.d; j += 2)
                    if (b == 0) components<E, true>(w, books, block, row_block, b, j, pairs + done * kRows);
                    else components<E, false>(w, books, block, row_block, b, j, pairs + done * kRows);
            done += w.shape.tables_in(block) / w.shape.books * w.shape.d / 2;
        }
        return done;
    }

  private:
    // Components j and j + 1 of all groups, from one book: written by the first book, added by the others.
    template <int E, bool First>
    static void components(const Weights& w, const Codebooks& books, size_t block, size_t row_block, size_t b, size_t j,
                           uint32_t* to) {
        const uint8_t* bytes = books.planes.data() + (b * w.shape.d + j) * 2 * E;
        const Plane<E> low0(bytes), high0(bytes + E), low1(bytes + 2 * E), high1(bytes + 3 * E);
        const uint8_t* codes = w.block_of(block, row_block);
        const size_t count = w.shape.tables_in(block);
        uint32_t* out = to + j / 2 * kRows;
        for (size_t t = b; t < count; t += w.shape.books, out += w.shape.d / 2 * kRows) {
            const __m512i code = _mm512_loadu_si512(codes + t * kRows);
            const __mmask64 upper = E == 256 ? _mm512_movepi8_mask(code) : 0;
            const __m512i l0 = low0.at(code, upper), h0 = high0.at(code, upper);
            const __m512i l1 = low1.at(code, upper), h1 = high1.at(code, upper);
            const __m512i a = _mm512_unpacklo_epi8(l0, h0), b_ = _mm512_unpackhi_epi8(l0, h0);
            const __m512i c = _mm512_unpacklo_epi8(l1, h1), d = _mm512_unpackhi_epi8(l1, h1);
            put<First>(out, _mm512_unpacklo_epi16(a, c));
            put<First>(out + 16, _mm512_unpackhi_epi16(a, c));
            put<First>(out + 32, _mm512_unpacklo_epi16(b_, d));
            put<First>(out + 48, _mm512_unpackhi_epi16(b_, d));
        }
    }

    template <bool First>
    static void put(uint32_t* to, __m512i pairs) {
        if constexpr (!First) pairs = sum_of(pairs, _mm512_load_si512(to));
        _mm512_store_si512(to, pairs);
    }

    static __m512i sum_of(__m512i a, __m512i b) {  // of pairs of bf16, rounded to nearest
        const __m512i upper = _mm512_set1_epi32(int(0xffff0000)), half = _mm512_set1_epi32(0x8000);
        auto sum = [&](__m512i p, __m512i q) {
            return _mm512_add_epi32(_mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(p), _mm512_castsi512_ps(q))), half);
        };
        const __m512i even = sum(_mm512_slli_epi32(a, 16), _mm512_slli_epi32(b, 16));
        const __m512i odd = sum(_mm512_and_si512(a, upper), _mm512_and_si512(b, upper));
        return _mm512_or_si512(_mm512_and_si512(odd, upper), _mm512_srli_epi32(even, 16));
    }
};

// Adds M tokens' products with a tile of `pairs` pairs of columns to sums [M][64].
template <int M>
void multiply_tile(const Tile& tile, size_t pairs, const uint32_t* x, size_t stride, float* sums) {
    __m512 acc[M][4];
    for (int i = 0; i < M; i++)
        for (int q = 0; q < 4; q++) acc[i][q] = _mm512_loadu_ps(sums + i * kRows + q * 16);
    for (size_t k = 0; k < pairs; k++) {
        __m512bh weights[4];
        for (int q = 0; q < 4; q++) weights[q] = (__m512bh)_mm512_load_si512(tile.pairs + k * kRows + q * 16);
        for (int i = 0; i < M; i++) {
            const __m512bh value = (__m512bh)_mm512_set1_epi32(int(x[i * stride + k]));
            for (int q = 0; q < 4; q++) acc[i][q] = _mm512_dpbf16_ps(acc[i][q], value, weights[q]);
        }
    }
    for (int i = 0; i < M; i++)
        for (int q = 0; q < 4; q++) _mm512_storeu_ps(sums + i * kRows + q * 16, acc[i][q]);
}

inline void multiply_tile(const Tile& tile, size_t pairs, const uint32_t* x, size_t stride, float* sums, size_t m) {
    switch (m) {
        case 1: return multiply_tile<1>(tile, pairs, x, stride, sums);
        case 2: return multiply_tile<2>(tile, pairs, x, stride, sums);
        case 3: return multiply_tile<3>(tile, pairs, x, stride, sums);
        case 4: return multiply_tile<4>(tile, pairs, x, stride, sums);
        case 5: return multiply_tile<5>(tile, pairs, x, stride, sums);
        default: return multiply_tile<6>(tile, pairs, x, stride, sums);
    }
}

// Puts 64 sums of a token in the order of rows, scales and writes them. Byte unpacking leaves row 16 L + 4 q + i in
// element 4 L + i of register q.
inline void write_rows(const Weights& w, const float* sums, size_t row_block, float* y) {
    __m512i r[4];
    for (int q = 0; q < 4; q++) r[q] = _mm512_loadu_si512(sums + q * 16);
    const __m512i a = _mm512_shuffle_i32x4(r[0], r[1], 0x44), b = _mm512_shuffle_i32x4(r[2], r[3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(r[0], r[1], 0xee), d = _mm512_shuffle_i32x4(r[2], r[3], 0xee);
    const __m512i ordered[4] = {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd),
                                _mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xdd)};
    const size_t first = row_block * kRows, rows = std::min(kRows, w.shape.n - first);
    for (size_t q = 0; q * 16 < rows; q++) {
        const __mmask16 mask = first_of(rows - q * 16);
        const __m512 scale = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w.scale + first + q * 16));
        _mm512_mask_storeu_ps(y + first + q * 16, mask, _mm512_mul_ps(_mm512_castsi512_ps(ordered[q]), scale));
    }
}

template <int E>
void decoded_rows(const Weights& w, const Codebooks& books, const uint32_t* x, size_t stride, size_t tokens,
                  size_t row_block, float* y) {
    static thread_local std::vector<float> buffer;
    buffer.assign(tokens * kRows, 0.f);
    const size_t at_once = divided_up(tokens, divided_up(tokens, kTokens));
    Tile tile;
    for (size_t block = 0; block < w.shape.blocks(); block += kTileBlocks) {
        const size_t last = std::min(block + kTileBlocks, w.shape.blocks());
        const size_t pairs = tile.decode<E>(w, books, block, last, row_block);
        const uint32_t* xs = x + block * (kTables / w.shape.books) * w.shape.d / 2;
        for (size_t t = 0; t < tokens; t += at_once)
            multiply_tile(tile, pairs, xs + t * stride, stride, buffer.data() + t * kRows, std::min(at_once, tokens - t));
    }
    for (size_t t = 0; t < tokens; t++) write_rows(w, buffer.data() + t * kRows, row_block, y + t * w.shape.n);
}

inline void round_to_bf16(const float* from, size_t count, uint32_t* to) {
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = first_of(count - i);
        const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
        _mm256_mask_storeu_epi16(reinterpret_cast<uint16_t*>(to) + i, mask, rounded);
    }
}

template <int E>
void multiply_decoded(const Weights& w, const Codebooks& books, const float* x, float* y, size_t tokens) {
    static thread_local std::vector<uint32_t> buffer;
    const size_t k = w.shape.k, stride = k / 2;
    buffer.resize(std::max(buffer.size(), tokens * stride));
    uint32_t* halves = buffer.data();
    for_each(divided_up(tokens, 16), [&](size_t i) {
        for (size_t t = i * 16; t < std::min(tokens, i * 16 + 16); t++) round_to_bf16(x + t * k, k, halves + t * stride);
    });
    const size_t rows = w.shape.row_blocks();
    const size_t slices = std::min(divided_up(threads(), rows), divided_up(tokens, 96));  // decoded by each slice
    for_each(rows * slices, [&](size_t i) {
        const size_t from = i % slices * tokens / slices, to = (i % slices + 1) * tokens / slices;
        decoded_rows<E>(w, books, halves + from * stride, stride, to - from, i / slices, y + from * w.shape.n);
    });
}

}  // namespace vector_quantized
