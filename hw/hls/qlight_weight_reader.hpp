// Weights from DRAM, for an MVTU that wants each once an image: for every order an image's words, from the base of the port on.
//
// The loop over words is what Vitis HLS makes bursts of. It is entered anew for every order, so the port rests for about its latency between
// two images; orders are given ahead (qlight_mvtu_stream.hpp).
//
// U: DATA_BITS, WORDS (an image).
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

using Orders = hls::stream<ap_uint<1>>;

template <class U>
void read_weights(const ap_uint<U::DATA_BITS>* memory, Orders& orders, hls::stream<ap_uint<U::DATA_BITS>>& target) {
#pragma HLS INLINE
    ap_uint<1> order;
    if (!orders.read_nb(order)) return;
    for (int i = 0; i < U::WORDS; ++i) {
#pragma HLS PIPELINE II = 1
        target.write(memory[i]);
    }
}

}  // namespace qlight
