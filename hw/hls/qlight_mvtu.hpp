// Matrix-vector-threshold unit with weights on chip: y = threshold(W a), PE rows x SIMD columns of W a cycle.
//
// In: vectors of MW activation codes, SIMD a beat. Out: MH results, PE a beat, row nf * PE + pe in lane pe of beat nf: codes of OUTPUT_BITS
// bits, or the accumulators themselves (OUTPUT_BITS = 0, ACC_BITS each, two's complement).
// Loop: for nf (MH / PE), for sf (MW / SIMD). The first nf reads the stream and fills a buffer that the others replay, so a vector takes
// (MH / PE) * (MW / SIMD) cycles and the next one follows at once.
//
// Parameter words: for every row nf * SF + sf of the weight memory its PE * SIMD * WEIGHT_BITS bits, weight (pe, simd) at bit
// (pe * SIMD + simd) * WEIGHT_BITS, in whole words, least significant first; then, if OUTPUT_BITS > 0, for every nf and pe its thresholds in
// the order in which a growing code passes them, and a word with the direction in bit 0.
//
// U: PE, SIMD, MW, MH, SF, NF, WEIGHT_BITS, WEIGHT_SIGNED, ACTIVATION_BITS, BIPOLAR, OUTPUT_BITS, ACC_BITS, IMPL.
#pragma once

#include "qlight_codes.hpp"
#include "qlight_dot.hpp"
#include "qlight_threshold.hpp"

namespace qlight {

template <class U>
using Weights = Beat<U::WEIGHT_BITS, U::SIMD>[U::PE][U::SF * U::NF];  // a memory a PE
template <class U>
using Falling = bool[U::PE][U::NF];  // directions
template <class U>
using Results = Stream<(U::OUTPUT_BITS > 0 ? U::OUTPUT_BITS : U::ACC_BITS), U::PE>;

// The result of an accumulator: itself, or its code.
template <class U, int OUTPUT_BITS>
struct Activate {
    template <class... L>
    static ap_uint<OUTPUT_BITS> of(int pe, int nf, const Accumulator<U>& acc, const Falling<U>& falling, const L&... levels) {
#pragma HLS INLINE
        return search<U, 0>(pe, nf, acc, falling[pe][nf], 0, levels...);
    }
};
template <class U>
struct Activate<U, 0> {
    static ap_uint<U::ACC_BITS> of(int, int, const Accumulator<U>& acc, const Falling<U>&) { return acc; }
};

// A beat of a vector with its row of weights, a beat of SIMD weights a PE: adds the products up, and gives PE results with the last one.
template <class U, class... L>
void multiply(const Beat<U::ACTIVATION_BITS, U::SIMD>& beat, const Beat<U::WEIGHT_BITS, U::SIMD> (&weights)[U::PE], bool first, bool last, int nf,
              Results<U>& target, const Falling<U>& falling, const L&... levels) {
#pragma HLS INLINE
    static_assert(U::MW == U::SF * U::SIMD && U::MH == U::NF * U::PE, "PE must divide MH, and SIMD must divide MW");
    static_assert(sizeof...(L) == U::OUTPUT_BITS, "a memory of thresholds a bit of the output");
    typedef Product<U> P;
    constexpr int RESULT_BITS = U::OUTPUT_BITS > 0 ? U::OUTPUT_BITS : U::ACC_BITS;
    static Accumulator<U> accumulator[U::PE];
#pragma HLS ARRAY_PARTITION variable = accumulator type = complete
    typename P::Activation activations[U::SIMD];
    typename P::Weight row[U::PE][U::SIMD];
    typename P::Sum sums[U::PE];
#pragma HLS ARRAY_PARTITION variable = activations type = complete
#pragma HLS ARRAY_PARTITION variable = row type = complete dim = 0
#pragma HLS ARRAY_PARTITION variable = sums type = complete
    unpack<U::ACTIVATION_BITS, U::SIMD>(beat, activations);
    for (int p = 0; p < U::PE; ++p) unpack<U::WEIGHT_BITS, U::SIMD>(weights[p], row[p]);
    Rows<U, U::IMPL>::sum(row, activations, sums);
    for (int p = 0; p < U::PE; ++p) {
        const Accumulator<U> before = first ? Accumulator<U>(P::START) : accumulator[p];
        accumulator[p] = before + sums[p];
    }
    if (!last) return;
    ap_uint<RESULT_BITS> results[U::PE];
#pragma HLS ARRAY_PARTITION variable = results type = complete
    for (int p = 0; p < U::PE; ++p) results[p] = Activate<U, U::OUTPUT_BITS>::of(p, nf, accumulator[p], falling, levels...);
    target.write(pack<RESULT_BITS, U::PE>(results));
}

template <class U, class... L>
void mvtu(Stream<U::ACTIVATION_BITS, U::SIMD>& source, Results<U>& target, const Weights<U>& weights, const Falling<U>& falling,
          const L&... levels) {
#pragma HLS INLINE
    typedef Beat<U::ACTIVATION_BITS, U::SIMD> Data;
    static Data vector[U::SF];
    static ap_uint<bits_of(U::SF)> sf = 0;
    static ap_uint<bits_of(U::NF)> nf = 0;
    static ap_uint<bits_of(U::SF * U::NF)> address = 0;
#pragma HLS RESET variable = sf
#pragma HLS RESET variable = nf
#pragma HLS RESET variable = address

    Data beat;
    if (nf == 0) {
        if (!source.read_nb(beat)) return;
        vector[sf] = beat;
    } else {
        beat = vector[sf];
    }
    Beat<U::WEIGHT_BITS, U::SIMD> row[U::PE];
#pragma HLS ARRAY_PARTITION variable = row type = complete
    for (int p = 0; p < U::PE; ++p) row[p] = weights[p][address];
    multiply<U>(beat, row, sf == 0, sf == U::SF - 1, nf, target, falling, levels...);
    count<U::SF * U::NF>(address);
    if (count<U::SF>(sf)) count<U::NF>(nf);
}

// Takes a word of the thresholds, or begins with the first one; true where that was the last.
template <class U, class... L>
bool load_level(bool begin, const ap_uint<32>& data, Falling<U>& falling, L&... levels) {
#pragma HLS INLINE
    constexpr int FIRST = U::OUTPUT_BITS > 0 ? 1 : 0;
    static ap_uint<bits_of(1 << U::OUTPUT_BITS)> level = FIRST;  // thresholds from 1 on; 0: the direction, which comes last
    static ap_uint<bits_of(U::PE)> pe = 0;
    static ap_uint<bits_of(U::NF)> nf = 0;
#pragma HLS RESET variable = level
#pragma HLS RESET variable = pe
#pragma HLS RESET variable = nf
    if (begin) {
        level = FIRST, pe = 0, nf = 0;
        return false;
    }
    if (level == 0) {
        falling[pe][nf] = data[0];
    } else {
        store<U, 0>(pe, nf, level, Level<U>(ap_int<32>(data)), levels...);
    }
    const bool last = level == 0 && count<U::PE>(pe) && count<U::NF>(nf);
    count<(1 << U::OUTPUT_BITS)>(level);
    return last;
}

// Takes the unit's words from the parameter chain and passes later ones on.
template <class U, class... L>
void load(Chain& chain, Chain& next, Weights<U>& weights, Falling<U>& falling, L&... levels) {
#pragma HLS INLINE
    constexpr int PE_BITS = U::SIMD * U::WEIGHT_BITS, ROW_WORDS = (U::PE * PE_BITS + 31) / 32;
    static ap_uint<32> row[ROW_WORDS];
#pragma HLS ARRAY_PARTITION variable = row type = complete
    static bool loading_weights = false, loading_levels = false;
    static ap_uint<bits_of(ROW_WORDS)> number = 0;
    static ap_uint<bits_of(U::SF * U::NF)> address = 0;
#pragma HLS RESET variable = loading_weights
#pragma HLS RESET variable = loading_levels
#pragma HLS RESET variable = number
#pragma HLS RESET variable = address

    Word word;
    if (!chain.read_nb(word)) return;
    const ap_uint<32> data = word;
    const bool begin = word[START_BIT];
    if (begin || (loading_levels && !word[RUN_BIT])) {
        loading_levels = !load_level<U>(begin, data, falling, levels...) && !begin;
        if (!begin) return;
        loading_weights = true;
        number = 0, address = 0;
        next.write(word);
    } else if (loading_weights && !word[RUN_BIT]) {
        for (int i = 0; i + 1 < ROW_WORDS; ++i) row[i] = row[i + 1];
        row[ROW_WORDS - 1] = data;
        if (count<ROW_WORDS>(number)) {
            for (int p = 0; p < U::PE; ++p) {
                Beat<U::WEIGHT_BITS, U::SIMD> bits;
                for (int b = 0; b < PE_BITS; ++b) bits[b] = row[(p * PE_BITS + b) / 32][(p * PE_BITS + b) % 32];
                weights[p][address] = bits;
            }
            if (count<U::SF * U::NF>(address)) {
                loading_weights = false;
                loading_levels = U::OUTPUT_BITS > 0;
            }
        }
    } else {
        next.write(word);
    }
}

}  // namespace qlight
