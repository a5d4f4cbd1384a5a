// Width converter between any two numbers of lanes: the codes of U::IN_LANES a beat leave U::OUT_LANES a beat, in order.
//
// The narrower side moves a beat every cycle. Codes that do not fill an output beat wait for the next input beat, over frames too, so a
// frame must be a multiple of both sides; or it is FRAME output beats, and what is left of its last input beat is dropped.
//
// U: BITS, IN_LANES, OUT_LANES, FRAME (0: a multiple of both sides).
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

constexpr int greatest_common_divisor(int a, int b) { return b == 0 ? a : greatest_common_divisor(b, a % b); }

template <class U>
void dwc(Stream<U::BITS, U::IN_LANES>& source, Stream<U::BITS, U::OUT_LANES>& target) {
#pragma HLS INLINE
    // Everything moves in pieces of the greatest common divisor.
    constexpr int PIECE = greatest_common_divisor(U::IN_LANES, U::OUT_LANES);
    constexpr int IN = U::IN_LANES / PIECE, OUT = U::OUT_LANES / PIECE;
    // The smallest buffer with which neither a full nor an empty one ever stops the narrower side.
    constexpr int CAPACITY = larger(IN, OUT) + 2 * smaller(IN, OUT) - 1;
    static Beat<U::BITS, PIECE> buffer[CAPACITY];
#pragma HLS ARRAY_PARTITION variable = buffer type = complete
    static ap_uint<bits_of(CAPACITY + 1)> held = 0;
#pragma HLS RESET variable = held
    // Pieces that count of an input beat: fewer in the last one of a frame. The next beat is written over the others.
    constexpr int IN_BEATS = U::FRAME > 0 ? (U::FRAME * OUT + IN - 1) / IN : 1;  // of a frame
    constexpr int LAST = U::FRAME > 0 ? U::FRAME * OUT - (IN_BEATS - 1) * IN : IN;
    static ap_uint<bits_of(IN_BEATS)> number = 0;
#pragma HLS RESET variable = number

    // What is given in a cycle was there before it; so is the room for what is taken.
    const bool room = held <= CAPACITY - IN;
    int kept = held;
    if (held >= OUT) {
        Beat<U::BITS * PIECE, OUT> beat = 0;
        for (int i = 0; i < OUT; ++i) beat.range((i + 1) * U::BITS * PIECE - 1, i * U::BITS * PIECE) = buffer[i];
        target.write(beat);
        for (int i = 0; i + OUT < CAPACITY; ++i) buffer[i] = buffer[i + OUT];
        kept -= OUT;
    }
    Beat<U::BITS, U::IN_LANES> beat;
    if (room && source.read_nb(beat)) {
        Beat<U::BITS, PIECE> pieces[IN];
#pragma HLS ARRAY_PARTITION variable = pieces type = complete
        unpack<U::BITS * PIECE, IN>(beat, pieces);
        for (int place = 0; place <= CAPACITY - IN; ++place) {  // constant places: a multiplexer, no memory
            if (place == kept) {
                for (int i = 0; i < IN; ++i) buffer[place + i] = pieces[i];
            }
        }
        kept += count<IN_BEATS>(number) ? LAST : IN;
    }
    held = kept;
}

}  // namespace qlight
