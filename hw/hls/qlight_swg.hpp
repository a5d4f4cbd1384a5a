// Sliding-window generator, stride 1: a feature map in, the kernel window of every output pixel out, U::LANES codes a beat.
//
// In: HEIGHT x WIDTH x CHANNELS codes, channel fastest. Out: for every output pixel, row by row, the window in the order (kernel row,
// kernel column, channel fold); places outside of the map hold PAD_CODE.
//
// The last rows lie in a circular buffer addressed by the running number of the beat, over frames, so the next rows and the next frame are
// written while windows are read. The padding at the start of a frame waits for the frame's first beat, so that nothing under way was made
// with parameters that are being replaced.
//
// U: BITS, LANES, CHANNELS, HEIGHT, WIDTH, KERNEL_H, KERNEL_W, PAD_TOP, PAD_BOTTOM, PAD_LEFT, PAD_RIGHT, PAD_CODE.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

template <class U>
struct Window {
    static constexpr int FOLDS = U::CHANNELS / U::LANES;
    static constexpr int OUT_H = U::HEIGHT + U::PAD_TOP + U::PAD_BOTTOM - U::KERNEL_H + 1;
    static constexpr int OUT_W = U::WIDTH + U::PAD_LEFT + U::PAD_RIGHT - U::KERNEL_W + 1;
    // From the corner of a frame's first window to the frame's first beat.
    static constexpr int CORNER = (U::PAD_TOP * U::WIDTH + U::PAD_LEFT) * FOLDS;
    // While a window is read, the pixels up to the end of the next one must fit, be it in the same row, in the next row or in the next frame.
    static constexpr int SPAN_ROW =
        (U::KERNEL_H - 1) * U::WIDTH + larger(U::KERNEL_W + 1, 2 * U::KERNEL_W - U::PAD_LEFT - U::PAD_RIGHT);
    static constexpr int SPAN_FRAME =
        (2 * U::KERNEL_H - 2 - U::PAD_TOP - U::PAD_BOTTOM) * U::WIDTH + 2 * U::KERNEL_W - U::PAD_LEFT - U::PAD_RIGHT;
    static constexpr int WORDS = larger(SPAN_ROW, SPAN_FRAME) * FOLDS;
    // Steps of the reader, in beats of the input: to the next kernel row, pixel, row, frame.
    static constexpr int STEP_KERNEL_ROW = (U::WIDTH - U::KERNEL_W) * FOLDS + 1;
    static constexpr int STEP_PIXEL = (1 - (U::KERNEL_H - 1) * U::WIDTH - U::KERNEL_W) * FOLDS + 1;
    static constexpr int STEP_ROW = STEP_PIXEL + (U::WIDTH - OUT_W) * FOLDS;
    static constexpr int STEP_FRAME = STEP_ROW + (U::HEIGHT - OUT_H) * U::WIDTH * FOLDS;
    // Room that is given back after a pixel: everything before the next window's first pixel inside the map.
    static constexpr int LAST_COLUMN = larger(OUT_W - 1 - U::PAD_LEFT, 0);
    static constexpr int FREE_PIXEL = FOLDS;
    static constexpr int FREE_ROW = (U::WIDTH - LAST_COLUMN) * FOLDS;
    static constexpr int FREE_FRAME =
        (U::HEIGHT * U::WIDTH - (OUT_H > U::PAD_TOP ? (OUT_H - 1 - U::PAD_TOP) * U::WIDTH + LAST_COLUMN : 0)) * FOLDS;
    // Any number of beats between the reader and the writer.
    static constexpr int AHEAD_BITS = bits_of(WORDS + (2 * U::KERNEL_H + 1) * (U::WIDTH + U::KERNEL_W) * FOLDS) + 2;

    // `step` beats on in the circular buffer.
    static constexpr int around(int step) { return (step % WORDS + WORDS) % WORDS; }
};

template <class U>
void swg(Stream<U::BITS, U::LANES>& source, Stream<U::BITS, U::LANES>& target) {
#pragma HLS INLINE
    typedef Window<U> W;
    static_assert(U::CHANNELS % U::LANES == 0, "CHANNELS must be a multiple of LANES");
    static_assert(larger(U::PAD_TOP, U::PAD_BOTTOM) < U::KERNEL_H && larger(U::PAD_LEFT, U::PAD_RIGHT) < U::KERNEL_W,
                  "each padding must be less than the kernel along its axis");
    typedef Beat<U::BITS, U::LANES> Data;
    static Data memory[W::WORDS];
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p
    static ap_uint<bits_of(W::WORDS)> write_address = 0, read_address = W::around(-W::CORNER);
    static ap_uint<bits_of(W::WORDS + 1)> room = W::WORDS;
    static ap_int<W::AHEAD_BITS> ahead = W::CORNER;  // beats written from the reader's place on; negative: it is yet to come
    static ap_uint<bits_of(W::FOLDS)> fold = 0;
    static ap_uint<bits_of(U::KERNEL_W)> kx = 0;
    static ap_uint<bits_of(U::KERNEL_H)> ky = 0;
    static ap_uint<bits_of(W::OUT_W)> x = 0;
    static ap_uint<bits_of(W::OUT_H)> y = 0;
#pragma HLS RESET variable = write_address
#pragma HLS RESET variable = read_address
#pragma HLS RESET variable = room
#pragma HLS RESET variable = ahead
#pragma HLS RESET variable = fold
#pragma HLS RESET variable = kx
#pragma HLS RESET variable = ky
#pragma HLS RESET variable = x
#pragma HLS RESET variable = y

    const int column = int(x) + int(kx) - U::PAD_LEFT, row = int(y) + int(ky) - U::PAD_TOP;
    const bool padding = column < 0 || column >= U::WIDTH || row < 0 || row >= U::HEIGHT;
    const bool first = fold == 0 && kx == 0 && ky == 0 && x == 0 && y == 0;
    const bool present = first ? ahead > W::CORNER : padding || ahead > 0;
    int step = 0, freed = 0, moved = 0;
    if (present) {
        Data beat = memory[read_address];
        if (padding) {
            for (int i = 0; i < U::LANES; ++i) beat.range((i + 1) * U::BITS - 1, i * U::BITS) = U::PAD_CODE;
        }
        target.write(beat);
        step = 1, moved = W::around(1);
        const bool inside_x = int(x) >= U::PAD_LEFT, inside_y = int(y) >= U::PAD_TOP;
        if (count<W::FOLDS>(fold) && count<U::KERNEL_W>(kx)) {
            if (!count<U::KERNEL_H>(ky)) {
                step = W::STEP_KERNEL_ROW, moved = W::around(W::STEP_KERNEL_ROW);
            } else if (!count<W::OUT_W>(x)) {
                step = W::STEP_PIXEL, moved = W::around(W::STEP_PIXEL);
                if (inside_x && inside_y) freed = W::FREE_PIXEL;
            } else if (!count<W::OUT_H>(y)) {
                step = W::STEP_ROW, moved = W::around(W::STEP_ROW);
                if (inside_y) freed = W::FREE_ROW;
            } else {
                step = W::STEP_FRAME, moved = W::around(W::STEP_FRAME);
                freed = W::FREE_FRAME;
            }
        }
        moved += read_address;
        read_address = moved >= W::WORDS ? moved - W::WORDS : moved;
    }
    Data beat;
    bool taken = false;
    if (room > 0 && source.read_nb(beat)) {
        taken = true;
        memory[write_address] = beat;
        count<W::WORDS>(write_address);
    }
    room = int(room) - taken + freed;
    ahead = int(ahead) + taken - step;
}

}  // namespace qlight
