// Drives one unit of hw/hls in C-simulation: a call is a clock cycle. Beats come and go in whole bytes, little-endian.
#pragma once

#include <cstdint>
#include <vector>

#include "qlight_affine.hpp"
#include "qlight_dwc.hpp"
#include "qlight_mvtu.hpp"
#include "qlight_mvtu_stream.hpp"
#include "qlight_pool.hpp"
#include "qlight_reorder.hpp"
#include "qlight_replay.hpp"
#include "qlight_swg.hpp"

#define EXPORTED extern "C" __attribute__((visibility("default")))

template <class T>
T from_bytes(const uint8_t* bytes) {
    T beat = 0;
    for (int bit = 0; bit < T::width; bit += 8) beat.range(bit + 8 < T::width ? bit + 7 : T::width - 1, bit) = bytes[bit / 8];
    return beat;
}

template <class T>
void to_bytes(const T& beat, uint8_t* bytes) {
    for (int bit = 0; bit < T::width; bit += 8) bytes[bit / 8] = beat.range(bit + 8 < T::width ? bit + 7 : T::width - 1, bit).to_uint();
}

// Gives `count` beats, one whenever the unit asks, or, where `gaps` is not 0, at random calls; takes what comes up to `most` calls, and no
// more than `room` beats. calls[i]: the call in which beat i came. Returns how many came.
template <class In, class Out, class Step>
int64_t drive(hls::stream<In>& source, hls::stream<Out>& target, Step step, const uint8_t* in, int64_t count, uint64_t gaps, uint8_t* out,
              int64_t* calls, int64_t room, int64_t most) {
    constexpr int IN_BYTES = (In::width + 7) / 8, OUT_BYTES = (Out::width + 7) / 8;
    int64_t sent = 0, received = 0;
    for (int64_t call = 1; call <= most; ++call) {
        gaps = gaps * 6364136223846793005u + (gaps ? 1442695040888963407u : 0);
        if (sent < count && source.empty() && !(gaps >> 63)) source.write(from_bytes<In>(in + IN_BYTES * sent++));
        step();
        while (!target.empty()) {
            if (received == room) return received + 1;
            to_bytes(target.read(), out + OUT_BYTES * received);
            calls[received++] = call;
        }
    }
    return received;
}

// Sends words with bit 32 as the mark of a start; what is passed on comes back. Returns how many that are.
template <class Step>
int64_t send(qlight::Chain& chain, qlight::Chain& next, Step step, const uint64_t* words, int64_t count, uint64_t* passed) {
    for (int64_t i = 0; i < count; ++i) chain.write(words[i]);
    for (int64_t i = 0; i < count; ++i) step();
    int64_t received = 0;
    while (!next.empty()) passed[received++] = next.read().to_uint64();
    return received;
}

// Gives a streamed unit the rows of the images that it orders, one every so many calls: all that was ordered, whatever it wants now.
template <class Row>
struct Feeder {
    std::vector<Row> rows;  // of an image
    int64_t every = 1, ordered = 0, given = 0, calls = 0;

    void put(const uint8_t* bytes, int64_t count) {
        rows.clear();
        for (int64_t i = 0; i < count; ++i) rows.push_back(from_bytes<Row>(bytes + (Row::width + 7) / 8 * i));
    }
    void step(qlight::Orders& orders, hls::stream<Row>& target) {
        ap_uint<1> order;
        if (orders.read_nb(order)) ++ordered;
        if (++calls % every == 0 && given < ordered * int64_t(rows.size())) target.write(rows[given++ % rows.size()]);
    }
};
