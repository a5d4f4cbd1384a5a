// Codes of accumulators by an affine function: code = clip((M acc + 2^LOW_BITS B) >> SHIFT, 0, 2^OUTPUT_BITS - 1), M and B of the
// accumulator's channel, where that gives the same codes as thresholds (qlight.hardware.affine). It stands behind an MVTU of accumulators.
//
// In: LANES accumulators a beat. Row r of the memories has the channels r LANES + lane; GROUP rows come REPEAT times, then the next GROUP, up
// to ROWS. M is taken in two parts, as a multiplier of the hardware is narrower: the products' sum lacks M acc's lower LOW_BITS bits, exactly.
//
// Parameter words: for every row and lane {B, M}, M lowest, in three words, least significant first.
//
// U: LANES, ROWS, GROUP, REPEAT, ACC_BITS, OUTPUT_BITS, MULTIPLIER_BITS (of M), OFFSET_BITS (of B), LOW_BITS, SHIFT.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

template <class U>
using Forms = ap_uint<U::MULTIPLIER_BITS + U::OFFSET_BITS>[U::LANES][U::ROWS];  // a memory a lane

// The code of an accumulator.
template <class U>
ap_uint<U::OUTPUT_BITS> affine_code(const ap_uint<U::MULTIPLIER_BITS + U::OFFSET_BITS>& form, const ap_int<U::ACC_BITS>& acc) {
#pragma HLS INLINE
    constexpr int HIGH_BITS = U::MULTIPLIER_BITS - U::LOW_BITS, FORM_BITS = U::MULTIPLIER_BITS + U::OFFSET_BITS;
    constexpr int SUM_BITS = larger(U::ACC_BITS + larger(HIGH_BITS, 1), U::OFFSET_BITS) + 2;
    const ap_int<U::LOW_BITS + 1> low = ap_uint<U::LOW_BITS>(form.range(U::LOW_BITS - 1, 0));
    const ap_int<HIGH_BITS> high = form.range(U::MULTIPLIER_BITS - 1, U::LOW_BITS);
    const ap_int<U::OFFSET_BITS> offset = form.range(FORM_BITS - 1, U::MULTIPLIER_BITS);
    const ap_int<U::ACC_BITS + HIGH_BITS> upper = acc * high;
#pragma HLS BIND_OP variable = upper op = mul impl = dsp
    const ap_int<U::ACC_BITS + U::LOW_BITS + 1> lower = acc * low;
#pragma HLS BIND_OP variable = lower op = mul impl = dsp
    const ap_int<SUM_BITS> sum = upper + (lower >> U::LOW_BITS) + offset;
    const ap_int<SUM_BITS> code = sum >> (U::SHIFT - U::LOW_BITS);
    constexpr int MOST = (1 << U::OUTPUT_BITS) - 1;
    return code < 0 ? 0 : code > MOST ? MOST : code.to_int();
}

template <class U>
void affine(Stream<U::ACC_BITS, U::LANES>& source, Stream<U::OUTPUT_BITS, U::LANES>& target, const Forms<U>& forms) {
#pragma HLS INLINE
    static_assert(U::ROWS % U::GROUP == 0, "ROWS must be a multiple of GROUP");
    static_assert(U::SHIFT >= U::LOW_BITS, "SHIFT must be at least LOW_BITS");
    static ap_uint<bits_of(U::ROWS)> first = 0;  // row of the group
    static ap_uint<bits_of(U::GROUP)> place = 0;
    static ap_uint<bits_of(U::REPEAT)> time = 0;
#pragma HLS RESET variable = first
#pragma HLS RESET variable = place
#pragma HLS RESET variable = time

    Beat<U::ACC_BITS, U::LANES> beat;
    if (!source.read_nb(beat)) return;
    ap_uint<U::ACC_BITS> accumulators[U::LANES];
    ap_uint<U::OUTPUT_BITS> codes[U::LANES];
#pragma HLS ARRAY_PARTITION variable = accumulators type = complete
#pragma HLS ARRAY_PARTITION variable = codes type = complete
    unpack<U::ACC_BITS, U::LANES>(beat, accumulators);
    const int row = int(first) + int(place);
    for (int i = 0; i < U::LANES; ++i) codes[i] = affine_code<U>(forms[i][row], ap_int<U::ACC_BITS>(accumulators[i]));
    target.write(pack<U::OUTPUT_BITS, U::LANES>(codes));
    if (count<U::GROUP>(place) && count<U::REPEAT>(time)) first = first == U::ROWS - U::GROUP ? 0 : int(first) + U::GROUP;
}

// Takes the unit's words from the parameter chain and passes later ones on.
template <class U>
void load_forms(Chain& chain, Chain& next, Forms<U>& forms) {
#pragma HLS INLINE
    constexpr int WORDS = 3;
    static_assert(U::MULTIPLIER_BITS + U::OFFSET_BITS <= 32 * WORDS, "M and B must fit three words");
    static ap_uint<32 * WORDS> kept = 0;
    static bool loading = false;
    static ap_uint<bits_of(WORDS)> number = 0;
    static ap_uint<bits_of(U::LANES)> lane = 0;
    static ap_uint<bits_of(U::ROWS)> row = 0;
#pragma HLS RESET variable = loading
#pragma HLS RESET variable = number
#pragma HLS RESET variable = lane
#pragma HLS RESET variable = row

    Word word;
    if (!chain.read_nb(word)) return;
    if (word[START_BIT]) {
        loading = true;
        number = 0, lane = 0, row = 0;
        next.write(word);
    } else if (loading && !word[RUN_BIT]) {
        kept = (ap_uint<32 * WORDS>(ap_uint<32>(word)) << (32 * (WORDS - 1))) | (kept >> 32);
        if (count<WORDS>(number)) {
            forms[lane][row] = kept;
            loading = !(count<U::LANES>(lane) && count<U::ROWS>(row));
        }
    } else {
        next.write(word);
    }
}

}  // namespace qlight
