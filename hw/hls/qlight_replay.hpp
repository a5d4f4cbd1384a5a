// Replay: every frame of U::FRAME beats leaves U::TIMES times in a row.
//
// Two frames fit, so the next one is written while a frame is replayed. A beat is read as soon as it was written, so the first time through
// is not late; the last time through gives back its room beat by beat.
//
// U: WIDTH, FRAME, TIMES.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

template <class U>
void replay(hls::stream<ap_uint<U::WIDTH>>& source, hls::stream<ap_uint<U::WIDTH>>& target) {
#pragma HLS INLINE
    constexpr int WORDS = 2 * U::FRAME;
    typedef ap_uint<U::WIDTH> Data;
    static Data memory[WORDS];
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p
    static ap_uint<bits_of(WORDS)> write_address = 0, read_address = 0;
    static ap_uint<bits_of(WORDS + 1)> room = WORDS, ahead = 0;  // places free; beats written from the one to be read on
    static ap_uint<bits_of(U::FRAME)> place = 0;                 // of the beat to be read, in its frame
    static ap_uint<bits_of(U::TIMES)> pass = 0;
#pragma HLS RESET variable = write_address
#pragma HLS RESET variable = read_address
#pragma HLS RESET variable = room
#pragma HLS RESET variable = ahead
#pragma HLS RESET variable = place
#pragma HLS RESET variable = pass

    // What is read in a cycle was written before it.
    int freed = 0, moved = 0;
    if (ahead > 0) {
        target.write(memory[read_address]);
        const bool last_pass = pass == U::TIMES - 1;
        freed = last_pass, moved = 1;
        count<WORDS>(read_address);
        if (count<U::FRAME>(place) && !count<U::TIMES>(pass)) {  // back to the frame's first beat
            read_address = read_address == U::FRAME ? 0 : U::FRAME;
            moved = 1 - U::FRAME;
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
    ahead = int(ahead) + taken - moved;
}

}  // namespace qlight
