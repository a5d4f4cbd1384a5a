// Beats, parameter words, and what all units share. C++14, as Vitis HLS compiles it.
//
// A unit is a function that does one clock cycle's work: it takes at most one beat, gives at most one, and keeps its state in static
// variables. Each is pipelined with II = 1 and runs for ever in a dataflow region without block-level control, so frames follow each other
// without a gap. In C-simulation the caller of the top is the clock.
//
// The template parameter U of a unit is a generated struct with its constants; two units never share one, so they share no state.
#pragma once

#include <ap_int.h>
#include <hls_stream.h>

namespace qlight {

// COUNT codes of BITS bits, the earliest channel in the lowest bits.
template <int BITS, int COUNT>
using Beat = ap_uint<BITS * COUNT>;

template <int BITS, int COUNT>
using Stream = hls::stream<Beat<BITS, COUNT>>;

// Parameter words: 32 bits, and marks above them. 40 bits, since an AXI4-Stream port has whole bytes.
// Bit 32: a load begins, and nothing is fetched from DRAM any more. Bit 33: no parameter; bit 0 says whether weights are fetched.
using Word = ap_uint<40>;
using Chain = hls::stream<Word>;
constexpr int START_BIT = 32, RUN_BIT = 33;

// Bits of a counter that takes the values 0 to `values` - 1.
constexpr int bits_of(int values) {
    int bits = 1;
    while ((1LL << bits) < values) ++bits;
    return bits;
}

constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }

// A beat's codes. Wires in hardware; the detour by pieces of at most 64 bits is for the speed of wide integers in C-simulation.
template <int BITS, int COUNT>
void unpack(const Beat<BITS, COUNT>& beat, ap_uint<BITS> (&codes)[COUNT]) {
#pragma HLS INLINE
    constexpr int PIECE = larger(1, 64 / BITS);  // codes
    for (int start = 0; start < COUNT; start += PIECE) {
        const int end = smaller(start + PIECE, COUNT);
        const ap_uint<PIECE * BITS> piece = beat.range(end * BITS - 1, start * BITS);
        for (int i = start; i < end; ++i) codes[i] = piece.range((i - start + 1) * BITS - 1, (i - start) * BITS);
    }
}

template <int BITS, int COUNT>
Beat<BITS, COUNT> pack(const ap_uint<BITS> (&codes)[COUNT]) {
#pragma HLS INLINE
    Beat<BITS, COUNT> beat = 0;
    for (int i = 0; i < COUNT; ++i) beat.range((i + 1) * BITS - 1, i * BITS) = codes[i];
    return beat;
}

// Counts 0 to LENGTH - 1 round and round; true where it comes to its end.
template <int LENGTH, int BITS>
bool count(ap_uint<BITS>& counter) {
#pragma HLS INLINE
    const bool last = counter == LENGTH - 1;
    counter = last ? ap_uint<BITS>(0) : ap_uint<BITS>(counter + 1);
    return last;
}

// From one stream to another: where a port needs a FIFO behind it.
template <class T>
void forward(hls::stream<T>& source, hls::stream<T>& target) {
#pragma HLS INLINE off
#pragma HLS PIPELINE II = 1 style = flp
    T beat;
    if (source.read_nb(beat)) target.write(beat);
}

// Accumulators as 32-bit integers, to the output port.
template <int BITS>
void deliver(hls::stream<ap_uint<BITS>>& source, hls::stream<ap_uint<32>>& target) {
#pragma HLS INLINE off
#pragma HLS PIPELINE II = 1 style = flp
    ap_uint<BITS> beat;
    if (source.read_nb(beat)) target.write(ap_uint<32>(ap_int<32>(ap_int<BITS>(beat))));
}

// The end of the parameter chain.
inline void discard(Chain& chain) {
#pragma HLS INLINE off
#pragma HLS PIPELINE II = 1 style = flp
    Word word;
    chain.read_nb(word);
}

}  // namespace qlight
