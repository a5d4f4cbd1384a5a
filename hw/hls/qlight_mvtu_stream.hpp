// Matrix-vector-threshold unit whose weights come from a stream: as qlight_mvtu.hpp, but each weight comes once for VECTORS vectors.
//
// In: VECTORS vectors of MW activation codes, SIMD a beat, all of them again for each of the NF folds of the rows (qlight_replay.hpp). Out: for
// every fold, for every vector, PE results: a beat. Weights: for every fold its SF rows, a row of PE x SIMD weights a beat, in the order of
// use, image after image.
//
// VECTORS > 1: the rows lie in a memory with room for two folds. A row can be used from the cycle after it came; the last vector of a fold
// gives the rows' room back one by one, so the next fold comes while this one works. VECTORS = 1: rows are used as they come.
//
// The unit orders its weights, an image at a time and up to two ahead. Told to stop, it orders no more, and drops what it holds and what was
// ordered; told to run again, it begins with the first row as soon as all that is gone. That may only be while no image is under way.
//
// Parameter words: those of qlight_mvtu.hpp without the weights.
//
// U: as in qlight_mvtu.hpp, and VECTORS.
#pragma once

#include "qlight_mvtu.hpp"
#include "qlight_weight_reader.hpp"

namespace qlight {

template <class U>
using RowStream = Stream<U::WEIGHT_BITS, U::PE * U::SIMD>;

template <class U, class... L>
void mvtu_stream(Stream<U::ACTIVATION_BITS, U::SIMD>& source, RowStream<U>& rows, Orders& orders, Results<U>& target, bool run,
                 const Falling<U>& falling, const L&... levels) {
#pragma HLS INLINE
    constexpr int ROWS = U::SF * U::NF, PLACES = 2 * U::SF;
    typedef Beat<U::WEIGHT_BITS, U::SIMD> Weight;
    static Weight memory[U::PE][PLACES];
#pragma HLS ARRAY_PARTITION variable = memory type = complete dim = 1
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p
    static bool fetching = false;
    static ap_uint<bits_of(2 * ROWS + 1)> due = 0;  // rows that were ordered and have not come
    static ap_uint<bits_of(PLACES)> write_address = 0;
    static ap_uint<bits_of(PLACES + 1)> room = PLACES;
    static ap_uint<bits_of(PLACES + U::SF)> held = 0;  // rows that have come of this fold and the next ones
    static bool second = false;                        // the fold lies in the upper half
    static ap_uint<bits_of(U::SF)> sf = 0;
    static ap_uint<bits_of(U::VECTORS)> vector = 0;
    static ap_uint<bits_of(U::NF)> nf = 0;
#pragma HLS RESET variable = fetching
#pragma HLS RESET variable = due
#pragma HLS RESET variable = write_address
#pragma HLS RESET variable = room
#pragma HLS RESET variable = held
#pragma HLS RESET variable = second
#pragma HLS RESET variable = sf
#pragma HLS RESET variable = vector
#pragma HLS RESET variable = nf

    fetching = run && (fetching || due == 0);
    const bool order = fetching && due <= ROWS;
    if (order) orders.write(1);

    // What is used in a cycle was there before it, but for a single vector; room counts from the next cycle.
    Beat<U::ACTIVATION_BITS, U::SIMD> beat;
    Weight row[U::PE];
#pragma HLS ARRAY_PARTITION variable = row type = complete
    Beat<U::WEIGHT_BITS, U::PE * U::SIMD> came;
    bool taken = false, advance = false;
    if (U::VECTORS > 1) {
        for (int p = 0; p < U::PE; ++p) row[p] = memory[p][second ? int(sf) + U::SF : int(sf)];
        advance = fetching && held > sf && source.read_nb(beat);
        taken = (fetching ? room > 0 : due > 0) && rows.read_nb(came);
        if (taken && fetching) {
            for (int p = 0; p < U::PE; ++p) memory[p][write_address] = came.range((p + 1) * Weight::width - 1, p * Weight::width);
            count<PLACES>(write_address);
        }
    } else if (fetching ? !source.empty() : due > 0) {
        taken = rows.read_nb(came);
        advance = fetching && taken && source.read_nb(beat);
        for (int p = 0; p < U::PE; ++p) row[p] = came.range((p + 1) * Weight::width - 1, p * Weight::width);
    }
    const bool last_sf = sf == U::SF - 1, last_vector = vector == U::VECTORS - 1;
    const bool done = advance && last_vector && last_sf;
    due = int(due) + (order ? ROWS : 0) - taken;
    if (fetching) {
        room = int(room) - taken + (advance && last_vector);
        held = int(held) + taken - (done ? U::SF : 0);
        if (done) second = !second;
    } else {
        write_address = 0, room = PLACES, held = 0, second = false;
    }
    if (!advance) return;
    multiply<U>(beat, row, sf == 0, last_sf, nf, target, falling, levels...);
    if (count<U::SF>(sf) && count<U::VECTORS>(vector)) count<U::NF>(nf);
}

// Takes the unit's thresholds from the parameter chain and passes later words on; `run`: whether weights are fetched.
template <class U, class... L>
void load_streamed(Chain& chain, Chain& next, bool& run, Falling<U>& falling, L&... levels) {
#pragma HLS INLINE
    static bool loading = false;
#pragma HLS RESET variable = loading
    Word word;
    if (!chain.read_nb(word)) return;
    const bool begin = word[START_BIT];
    if (begin) run = false;
    if (!begin && word[RUN_BIT]) run = word[0];
    if (begin || (loading && !word[RUN_BIT])) {
        const bool last = load_level<U>(begin, word, falling, levels...);
        loading = begin ? U::OUTPUT_BITS > 0 : !last;
        if (!begin) return;
    }
    next.write(word);
}

}  // namespace qlight
