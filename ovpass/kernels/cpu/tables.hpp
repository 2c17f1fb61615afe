// Few tokens: tables of products of the activation with all codebook entries, then look-ups in registers.
//
// The tables of a block are built where they are read, in the L1 cache, and each thread takes its own blocks: nothing
// is shared but the output. They are products of integers of 16 bits, of which the upper 16 bits are kept. A block's
// tables share one scale, from a bound on |x . entry|, so that sums stay exact in 16 bits. Needs AVX-512 VBMI and VNNI.
#pragma once
#include <immintrin.h>

#include "parallel.hpp"
#include "weights.hpp"

namespace vector_quantized {

// How many bytes of codes ahead are fetched. In the order of addresses, not of use: so processors fetch on by themselves.
constexpr size_t kAhead = 16 << 10;

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

// Where bytes 2 of 32 integers are, then bytes 3.
struct UpperBytes {
    alignas(64) uint8_t index[64];

    constexpr UpperBytes() : index() {
        for (int i = 0; i < 64; i++) index[i] = uint8_t(i % 32 * 4 + 2 + i / 32);
    }
};
constexpr UpperBytes kUpperBytes;

inline __mmask16 first_of(size_t count) { return __mmask16((1u << std::min<size_t>(16, count)) - 1); }

// A block's tables for one token: [table][low byte, high byte][E].
template <int E>
struct Tables {
    alignas(64) uint8_t bytes[kTables * 2 * E];
    float step;  // the value of one unit

    void build(const Shape& s, const Codebooks& books, const float* x, size_t block) {
        switch (s.d) {
            case 2: return build<2>(s, books, x, block);
            case 4: return build<4>(s, books, x, block);
            default: return build<8>(s, books, x, block);
        }
    }

  private:
    template <int D>
    void build(const Shape& s, const Codebooks& books, const float* x, size_t block) {
        const size_t groups = s.tables_in(block) / s.books;
        alignas(64) int16_t values[kTables * D];
        round<D>(books, x + block * kTables / s.books * D, groups * D, values);
        for (size_t b = 0; b < s.books; b++) {
            const int16_t* pairs = books.pairs.data() + b * D * E;
            const size_t apart = s.books * 2 * E;
            uint8_t* to = bytes + b * 2 * E;
            size_t g = 0;
            for (; g + 2 <= groups; g += 2) tables<D, 2>(values + g * D, pairs, to + g * apart, apart);
            if (g < groups) tables<D, 1>(values + g * D, pairs, to + g * apart, apart);
        }
    }

    // The activation in integers. Times `pairs` they make 65536 for a unit of the tables.
    template <int D>
    void round(const Codebooks& books, const float* x, size_t columns, int16_t* values) {
        __m512 lengths = _mm512_setzero_ps(), most = lengths;
        for (size_t i = 0; i < columns; i += 16) {
            const __m512 own = _mm512_maskz_loadu_ps(first_of(columns - i), x + i);
            lengths = _mm512_add_ps(lengths, lengths_of<D>(own));
            most = _mm512_max_ps(most, _mm512_abs_ps(own));
        }
        // The sums of all tables are to fit in 16 bits (|x . entry| <= |x| |entry|), and the integers, too.
        const float bound = std::max(books.reach * _mm512_reduce_add_ps(lengths) / D,
                                     2 * 32767 * books.unit * _mm512_reduce_max_ps(most));
        step = bound / 32000.f;
        const __m512 factor = _mm512_set1_ps(bound > 1e-30f ? 65536.f * books.unit / step : 0.f);
        for (size_t i = 0; i < columns; i += 16) {
            const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(first_of(columns - i), x + i), factor);
            _mm512_mask_cvtsepi32_storeu_epi16(values + i, first_of(columns - i), _mm512_cvtps_epi32(scaled));
        }
    }

    // For each element the length of the group of D that it is in.
    template <int D>
    static __m512 lengths_of(__m512 x) {
        __m512 sum = _mm512_mul_ps(x, x);
        sum = _mm512_add_ps(sum, _mm512_shuffle_ps(sum, sum, 0xb1));
        if (D >= 4) sum = _mm512_add_ps(sum, _mm512_shuffle_ps(sum, sum, 0x4e));
        if (D == 8) sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(sum, sum, 0xb1));
        return _mm512_sqrt_ps(sum);
    }

    // The tables of G groups for one book: entries are loaded once.
    template <int D, int G>
    static void tables(const int16_t* values, const int16_t* pairs, uint8_t* to, size_t apart) {
        __m512i x[G][D / 2];
        for (int g = 0; g < G; g++)
            for (int p = 0; p < D / 2; p++) {
                int32_t two;
                std::memcpy(&two, values + g * D + p * 2, 4);
                x[g][p] = _mm512_set1_epi32(two);
            }
        for (int e = 0; e < E; e += 32) {
            __m512i sum[G][2];
            for (int half = 0; half < 2; half++)
                for (int p = 0; p < D / 2; p++) {
                    const __m512i entry = _mm512_loadu_si512(pairs + (p * E + e + half * 16) * 2);
                    for (int g = 0; g < G; g++)
                        sum[g][half] = _mm512_dpwssd_epi32(p ? sum[g][half] : _mm512_set1_epi32(1 << 15), x[g][p], entry);
                }
            for (int g = 0; g < G; g++) put(sum[g][0], sum[g][1], to + g * apart + e);
        }
    }

    // The upper halves of 32 sums.
    static void put(__m512i first, __m512i second, uint8_t* to) {
        const __m512i parts = _mm512_permutex2var_epi8(first, _mm512_load_si512(kUpperBytes.index), second);
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(parts));
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + E), _mm512_extracti64x4_epi64(parts, 1));
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
            _mm_prefetch(codes + (t * R + r) * kRows + kAhead, _MM_HINT_T1);
            const __m512i code = _mm512_loadu_si512(codes + (r * count + t) * kRows);
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
            for (; r + 2 <= to; r += 2) look_up<E, 2>(w, tables, block, r, sums + t * width + r * kRows);
            if (r < to) look_up<E, 1>(w, tables, block, r, sums + t * width + r * kRows);
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
    for (size_t q = 0; q * 16 < rows; q++) {
        const __mmask16 mask = first_of(rows - q * 16);
        const __m512 scale = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w.scale + first + q * 16));
        _mm512_mask_storeu_ps(y + first + q * 16, mask, _mm512_mul_ps(_mm512_load_ps(ordered + q * 16), scale));
    }
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
