// Few tokens: tables of products of the activation with all codebook entries, then look-ups in registers.
//
// The tables of a block are built where they are read, in the L1 cache, and each thread takes its own blocks: nothing
// is shared but the output. A block's tables share one scale, from a bound on |x . entry|, so that sums stay exact in
// 16 bits. Needs AVX-512 VBMI.
#pragma once
#include <immintrin.h>

#include "parallel.hpp"
#include "weights.hpp"

namespace vector_quantized {

// How many bytes of codes ahead are fetched: pages and row blocks change too often for what processors do themselves.
constexpr size_t kAhead = 64 << 10;

// The bytes of a table in registers: E entries in E / 64 of them.
template <int E>
struct Plane {
    __m512i part[E / 64];

    explicit Plane(const uint8_t* bytes) {
        for (int i = 0; i < E / 64; i++) part[i] = _mm512_loadu_si512(bytes + i * 64);
    }

    // `high` marks the codes of 128 and more.
    __m512i at(__m512i code, __mmask64 high) const {
        if constexpr (E == 64) return _mm512_permutexvar_epi8(code, part[0]);
        else if constexpr (E == 128) return _mm512_permutex2var_epi8(part[0], code, part[1]);
        else {
            // Codes that are marked become values here; the others there, where marked ones are kept.
            const __m512i half = _mm512_mask2_permutex2var_epi8(part[2], code, high, part[3]);
            return _mm512_mask2_permutex2var_epi8(part[0], half, _knot_mask64(high), part[1]);
        }
    }
};

// A block's tables for one token: [table][low byte, high byte][E].
template <int E>
struct Tables {
    alignas(64) uint8_t bytes[kTables * 2 * E];
    float step;  // the value of one unit

    void build(const Shape& s, const Codebooks& books, const float* x, size_t block) {
        const size_t first = block * kTables, count = s.tables_in(block);
        float bound = 0.f;
        for (size_t t = 0; t < count; t++) {
            const float* xs = x + (first + t) / s.books * s.d;
            const float* top = books.largest.data() + (first + t) % s.books * s.d;
            float sum = 0.f;
            for (size_t j = 0; j < s.d; j++) sum += std::fabs(xs[j]) * top[j];
            bound += sum;
        }
        const float inverse = bound > 1e-30f ? 32000.f / bound : 0.f;
        step = bound > 1e-30f ? bound / 32000.f : 0.f;
        for (size_t t = 0; t < count; t++) {
            const float* entries = books.packed.data() + (first + t) % s.books * s.d * E;
            const float* xs = x + (first + t) / s.books * s.d;
            switch (s.d) {
                case 2: table<2>(xs, inverse, entries, bytes + t * 2 * E); break;
                case 4: table<4>(xs, inverse, entries, bytes + t * 2 * E); break;
                default: table<8>(xs, inverse, entries, bytes + t * 2 * E);
            }
        }
    }

  private:
    template <int D>
    static void table(const float* x, float inverse, const float* entries, uint8_t* out) {
        __m512 xs[D];
        for (int j = 0; j < D; j++) xs[j] = _mm512_set1_ps(x[j] * inverse);
        const __m512i low = _mm512_set1_epi16(0xff);
        for (int e = 0; e < E; e += 64) {
            __m512i word[4];
            for (int q = 0; q < 4; q++) {
                __m512 sum = _mm512_setzero_ps();
                for (int j = 0; j < D; j++)
                    sum = _mm512_fmadd_ps(xs[j], _mm512_loadu_ps(entries + j * E + e + q * 16), sum);
                word[q] = _mm512_cvtps_epi32(sum);
            }
            const __m512i a = _mm512_packs_epi32(word[0], word[1]), b = _mm512_packs_epi32(word[2], word[3]);
            _mm512_store_si512(out + e, _mm512_packus_epi16(_mm512_and_si512(a, low), _mm512_and_si512(b, low)));
            _mm512_store_si512(out + E + e, _mm512_packus_epi16(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8)));
        }
    }
};

// Sums over a block's tables for 64 rows. In 16 bits: rows as the unpacking of bytes leaves them.
struct Sums {
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();

    void add(__m512i l, __m512i h) {
        low = _mm512_add_epi16(low, _mm512_unpacklo_epi8(l, h));
        high = _mm512_add_epi16(high, _mm512_unpackhi_epi8(l, h));
    }
    __m512i word(int q) const {
        const __m512i from = q & 1 ? high : low;
        return _mm512_cvtepi16_epi32(q & 2 ? _mm512_extracti64x4_epi64(from, 1) : _mm512_castsi512_si256(from));
    }
};

// Adds a block's part of R row blocks to `sums` [R][64], rows in the order of the registers.
template <int E, int R>
void look_up(const Weights& w, const Tables<E>& tables, size_t block, size_t row_block, float* sums) {
    const size_t count = w.shape.tables_in(block);
    const uint8_t* codes = w.block_of(block, row_block);
    Sums acc[R];
    for (size_t t = 0; t < count; t++) {
        const Plane<E> low(tables.bytes + t * 2 * E), high(tables.bytes + t * 2 * E + E);
        for (int r = 0; r < R; r++) {
            const uint8_t* at = codes + (r * count + t) * kRows;
            _mm_prefetch(at + kAhead, _MM_HINT_T1);
            const __m512i code = _mm512_loadu_si512(at);
            const __mmask64 upper = E == 256 ? _mm512_movepi8_mask(code) : 0;
            acc[r].add(low.at(code, upper), high.at(code, upper));
        }
    }
    const __m512 step = _mm512_set1_ps(tables.step);
    for (int r = 0; r < R; r++)
        for (int q = 0; q < 4; q++) {
            float* to = sums + r * kRows + q * 16;
            const __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[r].word(q)), step);
            _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), part));
        }
}

// One thread's part: blocks [first, last) of all tokens, row blocks [from, to), R of them at once.
template <int E, int R>
void table_part(const Weights& w, const Codebooks& books, const float* x, size_t tokens, size_t first, size_t last,
                size_t from, size_t to, float* sums) {
    const size_t width = w.shape.row_blocks() * kRows;
    Tables<E> tables;
    for (size_t t = 0; t < tokens; t++) std::memset(sums + t * width + from * kRows, 0, (to - from) * kRows * 4);
    for (size_t block = first; block < last; block++)
        for (size_t t = 0; t < tokens; t++) {
            tables.build(w.shape, books, x + t * w.shape.k, block);
            size_t r = from;
            for (; r + R <= to; r += R) look_up<E, R>(w, tables, block, r, sums + t * width + r * kRows);
            for (; r < to; r++) look_up<E, 1>(w, tables, block, r, sums + t * width + r * kRows);
        }
}

// Adds up the parts, puts rows in order and scales them.
inline void finish_rows(const Weights& w, const float* sums, size_t parts, size_t stride, size_t row_block, float* y) {
    alignas(64) float total[kRows], ordered[kRows];
    for (size_t q = 0; q < 4; q++) {
        __m512 sum = _mm512_loadu_ps(sums + row_block * kRows + q * 16);
        for (size_t p = 1; p < parts; p++)
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(sums + p * stride + row_block * kRows + q * 16));
        _mm512_store_ps(total + q * 16, sum);
    }
    // Register q holds rows 32 (q / 2) + 8 (q % 2) + (0 to 7), and the same plus 16.
    for (size_t q = 0; q < 4; q++)
        for (size_t half = 0; half < 2; half++)
            _mm256_store_ps(ordered + q / 2 * 32 + q % 2 * 8 + half * 16, _mm256_load_ps(total + q * 16 + half * 8));
    const size_t first = row_block * kRows, rows = std::min(kRows, w.shape.n - first);
    for (size_t i = 0; i < rows; i++) y[first + i] = ordered[i] * w.scale[first + i];
}

template <int E, int R>
void multiply_by_tables(const Weights& w, const Codebooks& books, const float* x, float* y, size_t tokens) {
    const size_t rows = w.shape.row_blocks(), width = rows * kRows, all = threads();
    const size_t parts = std::min({all, w.shape.blocks(), size_t(8)});  // along K, added up at the end
    const size_t slices = std::min(std::max(all / parts, size_t(1)), divided_up(rows, size_t(R)));
    static thread_local std::vector<float> buffer;
    buffer.resize(std::max(buffer.size(), parts * tokens * width));
    float* sums = buffer.data();
    for_each(parts * slices, [&](size_t i) {
        const size_t p = i / slices, s = i % slices, blocks = w.shape.blocks();
        table_part<E, R>(w, books, x, tokens, p * blocks / parts, (p + 1) * blocks / parts, s * rows / slices,
                      (s + 1) * rows / slices, sums + p * tokens * width);
    });
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++) finish_rows(w, sums + t * width, parts, tokens * width, r, y + t * w.shape.n);
}

}  // namespace vector_quantized
