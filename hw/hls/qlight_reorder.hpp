// Reorder: frames of U::OUTER x U::INNER beats leave as INNER x OUTER: a streamed MVTU gives the results of all pixels fold by fold, and the
// next unit wants all folds of a pixel.
//
// Two frames fit, so one is written while one is read. A beat is read as soon as it was written; a frame's room is given back at its end.
//
// U: WIDTH, OUTER, INNER.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

template <class U>
void reorder(hls::stream<ap_uint<U::WIDTH>>& source, hls::stream<ap_uint<U::WIDTH>>& target) {
#pragma HLS INLINE
    constexpr int FRAME = U::OUTER * U::INNER, WORDS = 2 * FRAME;
    typedef ap_uint<U::WIDTH> Data;
    static Data memory[WORDS];
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p
    static ap_uint<bits_of(WORDS)> write_address = 0;
    static ap_uint<bits_of(WORDS + 1)> room = WORDS, written = 0;  // places free; beats that have come of the frame that is read and the next
    static ap_uint<bits_of(FRAME + U::INNER)> place = 0;           // of the beat to be read, in its frame
    static ap_uint<bits_of(U::OUTER)> outer = 0;
    static ap_uint<bits_of(U::INNER)> inner = 0;
    static bool second = false;  // the frame that is read is in the upper half
#pragma HLS RESET variable = write_address
#pragma HLS RESET variable = room
#pragma HLS RESET variable = written
#pragma HLS RESET variable = place
#pragma HLS RESET variable = outer
#pragma HLS RESET variable = inner
#pragma HLS RESET variable = second

    // What is read in a cycle was written before it; room counts from the next one.
    int freed = 0;
    if (written > place) {
        target.write(memory[second ? int(place) + FRAME : int(place)]);
        place += U::INNER;
        if (count<U::OUTER>(outer)) {
            if (count<U::INNER>(inner)) {
                freed = FRAME;
                second = !second;
            }
            place = inner;
        }
    }
    Data beat;
    bool taken = false;
    if (room > 0 && source.read_nb(beat)) {
        taken = true;
        memory[write_address] = beat;
        count<WORDS>(write_address);
    }
    room = int(room) - taken + freed;
    written = int(written) + taken - freed;
}

}  // namespace qlight
