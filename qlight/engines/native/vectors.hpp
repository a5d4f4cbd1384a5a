// Vectors of int32 lanes, one output channel a lane, and the few operations on them that depend on the processor.
// AVX-512 (with or without VNNI and VPOPCNTDQ), AVX2, and portable vectors for anything else that GCC or Clang compile for.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define WIDE 1
constexpr int LANES = 16;
constexpr int TILE = 8;  // pixels that share a load of weights: TILE x 2 accumulators stay in registers
#else
#define WIDE 0
constexpr int LANES = 8;
constexpr int TILE = 4;
#endif

typedef int32_t vec __attribute__((vector_size(LANES * 4)));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));
typedef float fvec __attribute__((vector_size(LANES * 4)));
typedef int32_t half __attribute__((vector_size(LANES * 2)));
typedef double dvec __attribute__((vector_size(LANES * 4)));
typedef uint8_t bvec __attribute__((vector_size(LANES)));

#define INLINE static inline __attribute__((always_inline))

template <class T>
INLINE T load(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

template <class T>
INLINE void store(void* to, const T& value) {
    std::memcpy(to, &value, sizeof(T));
}

INLINE vec splat(int32_t value) { return vec{} + value; }

INLINE vec lane_numbers() {
    vec numbers;
    for (int lane = 0; lane < LANES; ++lane) numbers[lane] = lane;
    return numbers;
}

INLINE vec gather(const int32_t* from, vec index) {
#if WIDE
    return (vec)_mm512_i32gather_epi32((__m512i)index, from, 4);
#elif defined(__AVX2__)
    return (vec)_mm256_i32gather_epi32(from, (__m256i)index, 4);
#else
    vec found;
    for (int lane = 0; lane < LANES; ++lane) found[lane] = from[index[lane]];
    return found;
#endif
}

// bit l of the result: whether a >= b in lane l
INLINE uint32_t at_least(vec a, vec b) {
#if WIDE
    return _mm512_cmpge_epi32_mask((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return static_cast<uint32_t>(_mm256_movemask_ps((__m256)(a >= b)));
#else
    const vec truth = a >= b;
    uint32_t mask = 0;
    for (int lane = 0; lane < LANES; ++lane) mask |= static_cast<uint32_t>(truth[lane] & 1) << lane;
    return mask;
#endif
}

// the number of ones in every lane
INLINE vec popcount(vec x) {
#if WIDE && defined(__AVX512VPOPCNTDQ__)
    return (vec)_mm512_popcnt_epi32((__m512i)x);
#elif WIDE
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512((__m512i)x, nibble));
    const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16((__m512i)x, 4), nibble));
    const __m512i pairs = _mm512_maddubs_epi16(_mm512_add_epi8(low, high), _mm512_set1_epi8(1));
    return (vec)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256((__m256i)x, nibble));
    const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16((__m256i)x, 4), nibble));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_add_epi8(low, high), _mm256_set1_epi8(1));
    return (vec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
    uvec v = (uvec)x;
    v = v - ((v >> 1) & 0x55555555u);
    v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0fu;
    return (vec)((v * 0x01010101u) >> 24);
#endif
}

// One step: 32 bits of activations, the same in all lanes, with 32 bits of weights of every lane's channel.

struct Bits {  // minus the number of places where bipolar codes differ
    INLINE vec step(vec sum, vec a, vec w) { return sum - popcount(a ^ w); }
};

struct Bytes {  // four products of an unsigned code and a signed weight
    INLINE vec step(vec sum, vec a, vec w) {
#if WIDE && defined(__AVX512VNNI__)
        return (vec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)w);
#elif WIDE
        const __m512i even = _mm512_madd_epi16(_mm512_and_si512((__m512i)a, _mm512_set1_epi16(255)),
                                               _mm512_srai_epi16(_mm512_slli_epi16((__m512i)w, 8), 8));
        const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16((__m512i)a, 8), _mm512_srai_epi16((__m512i)w, 8));
        return sum + (vec)even + (vec)odd;
#elif defined(__AVX2__)
        const __m256i even = _mm256_madd_epi16(_mm256_and_si256((__m256i)a, _mm256_set1_epi16(255)),
                                               _mm256_srai_epi16(_mm256_slli_epi16((__m256i)w, 8), 8));
        const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16((__m256i)a, 8), _mm256_srai_epi16((__m256i)w, 8));
        return sum + (vec)even + (vec)odd;
#else
        for (int byte = 0; byte < 4; ++byte) sum += ((a >> (8 * byte)) & 255) * ((w << (24 - 8 * byte)) >> 24);
        return sum;
#endif
    }
};

struct SmallBytes {  // the same where two products fit 16 bits, which the instruction before VNNI needs
    INLINE vec step(vec sum, vec a, vec w) {
#if WIDE && !defined(__AVX512VNNI__)
        return sum + (vec)_mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)a, (__m512i)w), _mm512_set1_epi16(1));
#elif !WIDE && defined(__AVX2__)
        return sum + (vec)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)a, (__m256i)w), _mm256_set1_epi16(1));
#else
        return Bytes::step(sum, a, w);
#endif
    }
};
