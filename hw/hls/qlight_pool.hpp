// Max pooling, kernel and stride U::KERNEL; a rest at the right and lower edge is dropped.
//
// In: HEIGHT x WIDTH x CHANNELS codes (two's complement, if SIGNED), channel fastest, LANES a beat. Out: the pooled map. Where a channel's
// direction is 1 the smallest is kept: pooling after thresholds with d = -1.
//
// Parameter words: channel c's direction is bit c % 32 of word c / 32.
//
// U: BITS, LANES, CHANNELS, HEIGHT, WIDTH, KERNEL, SIGNED.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

template <class U>
using Directions = ap_uint<U::LANES>[U::CHANNELS / U::LANES];  // a bit a lane, for every fold

// The better of two beats, lane by lane.
template <class U>
Beat<U::BITS, U::LANES> best(Beat<U::BITS, U::LANES> a, Beat<U::BITS, U::LANES> b, ap_uint<U::LANES> smallest) {
#pragma HLS INLINE
    ap_uint<U::BITS> left[U::LANES], right[U::LANES], found[U::LANES];
#pragma HLS ARRAY_PARTITION variable = left type = complete
#pragma HLS ARRAY_PARTITION variable = right type = complete
#pragma HLS ARRAY_PARTITION variable = found type = complete
    unpack<U::BITS, U::LANES>(a, left);
    unpack<U::BITS, U::LANES>(b, right);
    for (int i = 0; i < U::LANES; ++i) {
        const bool larger = U::SIGNED ? ap_int<U::BITS>(left[i]) > ap_int<U::BITS>(right[i]) : left[i] > right[i];
        found[i] = larger != bool(smallest[i]) ? left[i] : right[i];
    }
    return pack<U::BITS, U::LANES>(found);
}

// Shifts a value in; element LENGTH - 1 is the one that came LENGTH shifts ago.
template <class T, int LENGTH>
void shift_in(T (&line)[LENGTH], const T& value) {
#pragma HLS INLINE
    for (int i = LENGTH - 1; i > 0; --i) line[i] = line[i - 1];
    line[0] = value;
}

template <class U>
void pool(Stream<U::BITS, U::LANES>& source, Stream<U::BITS, U::LANES>& target, const Directions<U>& directions) {
#pragma HLS INLINE
    static_assert(U::CHANNELS % U::LANES == 0, "CHANNELS must be a multiple of LANES");
    static_assert(U::HEIGHT >= U::KERNEL && U::WIDTH >= U::KERNEL, "the kernel must fit the input");
    constexpr int FOLDS = U::CHANNELS / U::LANES, OUT_W = U::WIDTH / U::KERNEL, OUT_H = U::HEIGHT / U::KERNEL;
    typedef Beat<U::BITS, U::LANES> Data;
    // Delay lines instead of memories: what is read was written a fixed number of beats ago, which no scheduler must prove.
    static Data across[FOLDS];         // the best of this window's row so far, for every fold
    static Data above[OUT_W * FOLDS];  // the best of the rows above, for every window and fold
#pragma HLS ARRAY_PARTITION variable = across type = complete
#pragma HLS ARRAY_PARTITION variable = above type = complete
    static ap_uint<bits_of(FOLDS)> fold = 0;
    static ap_uint<bits_of(U::WIDTH)> column = 0;
    static ap_uint<bits_of(U::HEIGHT)> row = 0;
    static ap_uint<bits_of(U::KERNEL)> kx = 0, ky = 0;
#pragma HLS RESET variable = fold
#pragma HLS RESET variable = column
#pragma HLS RESET variable = row
#pragma HLS RESET variable = kx
#pragma HLS RESET variable = ky

    Data beat;
    if (!source.read_nb(beat)) return;
    const ap_uint<U::LANES> smallest = directions[fold];
    if (column < OUT_W * U::KERNEL && row < OUT_H * U::KERNEL) {
        const Data in_row = kx == 0 ? beat : best<U>(beat, across[FOLDS - 1], smallest);
        shift_in(across, in_row);
        if (kx == U::KERNEL - 1) {
            const Data found = ky == 0 ? in_row : best<U>(in_row, above[OUT_W * FOLDS - 1], smallest);
            shift_in(above, found);
            if (ky == U::KERNEL - 1) target.write(found);
        }
    }
    if (count<FOLDS>(fold)) {
        count<U::KERNEL>(kx);
        if (count<U::WIDTH>(column)) {
            kx = 0;
            count<U::KERNEL>(ky);
            if (count<U::HEIGHT>(row)) ky = 0;
        }
    }
}

// Takes the directions from the parameter chain and passes later words on.
template <class U>
void load_directions(Chain& chain, Chain& next, Directions<U>& directions) {
#pragma HLS INLINE
    constexpr int WORDS = (U::CHANNELS + 31) / 32;
    static bool loading = false;
    static ap_uint<bits_of(WORDS)> number = 0;
#pragma HLS RESET variable = loading
#pragma HLS RESET variable = number
    Word word;
    if (!chain.read_nb(word)) return;
    if (word[START_BIT]) {
        loading = true;
        number = 0;
        next.write(word);
    } else if (loading && !word[RUN_BIT]) {
        for (int c = 0; c < U::CHANNELS; ++c) {
            if (number == c / 32) directions[c / U::LANES][c % U::LANES] = word[c % 32];
        }
        loading = !count<WORDS>(number);
    } else {
        next.write(word);
    }
}

}  // namespace qlight
