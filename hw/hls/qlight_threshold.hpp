// Thresholds of an MVTU's accumulators, found by binary search: OUTPUT_BITS comparisons an accumulator, one after the other.
//
// A channel has T = 2^OUTPUT_BITS - 1 thresholds, numbered 1 to T in the order in which a growing code passes them: ascending, or descending
// where its direction is 1. The code is the number of the last one that fires: acc >= threshold, or acc <= threshold where the direction
// is 1. Stage s of the search knows the code's upper s bits and asks for the next one; it has a memory of its own with the 2^s thresholds
// of a channel that it may need: those whose number has its lowest 1 at bit OUTPUT_BITS - 1 - s. Every PE has its own memories.
//
// U: PE, NF, ACC_BITS, OUTPUT_BITS.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

template <class U>
using Level = ap_int<U::ACC_BITS + 1>;  // a saturated threshold lies one beyond the accumulator's range
template <class U>
using Accumulator = ap_int<U::ACC_BITS>;

// The memory of a stage in every PE.
template <class U, int STAGE>
using Levels = Level<U>[U::PE][U::NF << STAGE];

// ---- Search.

template <class U, int STAGE>
unsigned search(int, int, const Accumulator<U>&, bool, unsigned found) {
    static_assert(STAGE == U::OUTPUT_BITS, "one memory a stage");
    return found;
}

template <class U, int STAGE, int WORDS, class... Deeper>
unsigned search(int pe, int nf, const Accumulator<U>& acc, bool falling, unsigned found, const Level<U> (&levels)[U::PE][WORDS],
                const Deeper&... deeper) {
#pragma HLS INLINE
    const Level<U> level = levels[pe][(nf << STAGE) | found];
    const bool fires = falling ? acc <= level : acc >= level;
    return search<U, STAGE + 1>(pe, nf, acc, falling, found << 1 | fires, deeper...);
}

// ---- Loading: the threshold of a number goes to the stage of its lowest 1, at the bits above it.

template <class U, int STAGE>
void store(int, int, unsigned, const Level<U>&) {}

template <class U, int STAGE, int WORDS, class... Deeper>
void store(int pe, int nf, unsigned number, const Level<U>& level, Level<U> (&levels)[U::PE][WORDS], Deeper&... deeper) {
#pragma HLS INLINE
    constexpr int BELOW = U::OUTPUT_BITS - 1 - STAGE;
    if ((number & ((2u << BELOW) - 1)) == 1u << BELOW) levels[pe][(nf << STAGE) | (number >> (BELOW + 1))] = level;
    store<U, STAGE + 1>(pe, nf, number, level, deeper...);
}

}  // namespace qlight
