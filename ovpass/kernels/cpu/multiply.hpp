// The kernel for a shape, a number of tokens and this processor.
#pragma once
#include "variant.hpp"
#if defined(__AVX512VBMI__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
#define OVPASS_TABLES
#include "tables.hpp"
#if defined(__AVX512BF16__)
#define OVPASS_DECODE
#include "decode.hpp"
#endif
#endif
#include "portable.hpp"

namespace vector_quantized {

inline Choice choice_for(const Shape& s) {
    for (const Choice& c : kTuned)
        if (c.k == s.k && c.n == s.n && c.d == s.d && c.entries == s.entries && c.books == s.books) return c;
    return kDefault;
}

#ifdef OVPASS_TABLES
template <int E>
void multiply_few(const Weights& w, const Codebooks& books, const float* x, float* y, size_t tokens, size_t at_once) {
    switch (at_once) {
        case 2: return multiply_by_tables<E, 2>(w, books, x, y, tokens);
        case 6: return multiply_by_tables<E, 6>(w, books, x, y, tokens);
        default: return multiply_by_tables<E, 4>(w, books, x, y, tokens);
    }
}

template <int E>
void multiply_by(const Choice& c, const Weights& w, const Codebooks& books, const float* x, float* y, size_t tokens) {
    if (tokens <= c.few_tokens) return multiply_few<E>(w, books, x, y, tokens, c.row_blocks);
#ifdef OVPASS_DECODE
    multiply_decoded<E>(w, books, x, y, tokens);
#else
    multiply_portable(w, books, x, y, tokens);
#endif
}
#endif

// y [tokens, n] = x [tokens, k] times the transposed weights.
inline void multiply(const Choice& c, const Weights& w, const Codebooks& books, const float* x, float* y, size_t tokens) {
    // A table's blocks begin with a whole group only where the books divide it.
    const bool divides = kTables % w.shape.books == 0;
#ifdef OVPASS_TABLES
    if (divides) switch (w.shape.padded_entries()) {
        case 64: return multiply_by<64>(c, w, books, x, y, tokens);
        case 128: return multiply_by<128>(c, w, books, x, y, tokens);
        default: return multiply_by<256>(c, w, books, x, y, tokens);
    }
#endif
    (void)c, (void)divides;
    multiply_portable(w, books, x, y, tokens);
}

}  // namespace vector_quantized
