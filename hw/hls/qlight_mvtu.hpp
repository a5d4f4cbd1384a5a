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

template <class U, class... L>
void mvtu(Stream<U::ACTIVATION_BITS, U::SIMD>& source, Results<U>& target, const Weights<U>& weights, const Falling<U>& falling,
          const L&... levels) {
#pragma HLS INLINE
    static_assert(U::MW == U::SF * U::SIMD && U::MH == U::NF * U::PE, "PE must divide MH, and SIMD must divide MW");
    static_assert(sizeof...(L) == U::OUTPUT_BITS, "a memory of thresholds a bit of the output");
    typedef Product<U> P;
    typedef Beat<U::ACTIVATION_BITS, U::SIMD> Data;
    constexpr int RESULT_BITS = U::OUTPUT_BITS > 0 ? U::OUTPUT_BITS : U::ACC_BITS;
    static Data vector[U::SF];
    static Accumulator<U> accumulator[U::PE];
#pragma HLS ARRAY_PARTITION variable = accumulator type = complete
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
    typename P::Activation activations[U::SIMD];
    typename P::Weight row[U::PE][U::SIMD];
    typename P::Sum sums[U::PE];
#pragma HLS ARRAY_PARTITION variable = activations type = complete
#pragma HLS ARRAY_PARTITION variable = row type = complete dim = 0
#pragma HLS ARRAY_PARTITION variable = sums type = complete
    unpack<U::ACTIVATION_BITS, U::SIMD>(beat, activations);
    for (int p = 0; p < U::PE; ++p) unpack<U::WEIGHT_BITS, U::SIMD>(weights[p][address], row[p]);
    Rows<U, U::IMPL>::sum(row, activations, sums);
    for (int p = 0; p < U::PE; ++p) {
        const Accumulator<U> before = sf == 0 ? Accumulator<U>(P::START) : accumulator[p];
        accumulator[p] = before + sums[p];
    }
    count<U::SF * U::NF>(address);
    if (!count<U::SF>(sf)) return;
    ap_uint<RESULT_BITS> results[U::PE];
#pragma HLS ARRAY_PARTITION variable = results type = complete
    for (int p = 0; p < U::PE; ++p) results[p] = Activate<U, U::OUTPUT_BITS>::of(p, nf, accumulator[p], falling, levels...);
    target.write(pack<RESULT_BITS, U::PE>(results));
    count<U::NF>(nf);
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
    static ap_uint<bits_of(1 << U::OUTPUT_BITS)> level = 0;  // thresholds from 1 on; 0: the direction
    static ap_uint<bits_of(U::PE)> pe = 0;
    static ap_uint<bits_of(U::NF)> nf = 0;
#pragma HLS RESET variable = loading_weights
#pragma HLS RESET variable = loading_levels
#pragma HLS RESET variable = number
#pragma HLS RESET variable = address
#pragma HLS RESET variable = level
#pragma HLS RESET variable = pe
#pragma HLS RESET variable = nf

    Word word;
    if (!chain.read_nb(word)) return;
    const ap_uint<32> data = word;
    if (word[START_BIT]) {
        loading_weights = true;
        loading_levels = false;
        number = 0, address = 0, level = U::OUTPUT_BITS > 0 ? 1 : 0, pe = 0, nf = 0;
        next.write(word);
    } else if (loading_weights) {
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
    } else if (loading_levels) {
        if (level == 0) {
            falling[pe][nf] = data[0];
        } else {
            store<U, 0>(pe, nf, level, Level<U>(ap_int<32>(data)), levels...);
        }
        // the next one's first number; the direction comes last
        if (level == 0 && count<U::PE>(pe) && count<U::NF>(nf)) loading_levels = false;
        count<(1 << U::OUTPUT_BITS)>(level);
    } else {
        next.write(word);
    }
}

}  // namespace qlight
