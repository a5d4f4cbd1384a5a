// Drives the HLS twin in C-simulation: a call of the top function is a clock cycle. Python loads the library by ctypes and calls these functions
// without the interpreter's lock. All state is static, as the units have it, so a program loads a copy of the library for each instance.

#include <cstdint>
#include <cstring>

#include "qlight_hls.cpp"  // one file: the compiler reads ap_int.h once

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

hls::stream<ap_uint<32>> s_axis, m_axis;
qlight::Chain cfg;
accelerator::Memory memory;
bool fetched = false;

void cycle() { memory.cycle(s_axis, cfg, m_axis); }

hls::Recorded* find(const char* name) {
    for (hls::Recorded* stream : hls::Recorded::all()) {
        if (stream->name == name) return stream;
    }
    return nullptr;
}

// Beats of images and parameters; weights are fetched ahead.
int64_t waiting() {
    int64_t beats = s_axis.size() + m_axis.size() + cfg.size();
    for (hls::Recorded* stream : hls::Recorded::all()) beats += stream->name[0] == 's' ? stream->size() : 0;
    return beats;
}

}  // namespace

// Sends `count` images back to back, and takes the accumulators of each.
// done[i]: calls up to the last accumulator of image i. taken[i]: likewise to its last word, which may come later: pools drop the rest of a map.
// Gives 0; -1 where no accumulator and no word moves for `patience` calls, -2 where beats are left over behind the last accumulator.
EXPORTED int64_t qlight_run(const uint32_t* images, int64_t count, int32_t* found, int64_t* done, int64_t* taken, int64_t patience) {
    using namespace accelerator;
    const int64_t inputs = count * IMAGE_WORDS, outputs = count * CLASSES;
    for (int64_t i = 0; i < inputs; ++i) s_axis.write(images[i]);
    int64_t received = 0, sent = 0, idle = 0, silent = 0;
    // to the last accumulator, and on until no unit that has work could be silent any longer, and weights of the next image are there
    for (int64_t call = 1; received < outputs || silent <= qlight::larger(LONGEST_SILENCE, FILL); ++call) {
        cycle();
        ++idle;
        if (const int64_t now = inputs - s_axis.size(); now != sent) {
            sent = now, idle = 0;
            if (sent % IMAGE_WORDS == 0) taken[sent / IMAGE_WORDS - 1] = call;
        }
        ap_uint<32> beat;
        while (m_axis.read_nb(beat)) {
            idle = 0, silent = -1;
            if (received == outputs) return -2;
            found[received++] = static_cast<int32_t>(beat.to_uint());
            if (received % CLASSES == 0) done[received / CLASSES - 1] = call;
        }
        silent = waiting() ? 0 : silent + 1;
        if (idle > patience) return received < outputs ? -1 : -2;
    }
    return 0;
}

// Sends parameter words, and waits until the last unit of the chain has had time to take its own; no weights are fetched from then on.
EXPORTED void qlight_load(const uint32_t* words, int64_t count) {
    cfg.write(qlight::Word(1) << qlight::START_BIT);
    for (int64_t i = 0; i < count; ++i) cfg.write(words[i]);
    while (!cfg.empty()) cycle();
    for (int i = 0; i < accelerator::PROCESSES; ++i) cycle();
}

// Puts an image's weights, words of 32 bits, behind a memory port.
EXPORTED void qlight_put(int64_t port, const uint32_t* words) { memory.put(port, words); }

// Weights are fetched again, and what fits is waited for.
EXPORTED void qlight_fetch() {
    cfg.write((qlight::Word(1) << qlight::RUN_BIT) | 1);
    const int calls = accelerator::PROCESSES + accelerator::FILL + (fetched ? accelerator::DROP : 0);
    for (int i = 0; i < calls; ++i) cycle();
    fetched = true;
}

// Beats that a stream has taken, ever; -1 where there is no such stream.
EXPORTED int64_t qlight_written(const char* name) {
    hls::Recorded* stream = find(name);
    return stream ? stream->written : -1;
}

// Begins to record the streams of the region.
EXPORTED void qlight_record() {
    for (hls::Recorded* stream : hls::Recorded::all()) stream->recording = true;
}

// Bytes that a stream recorded; with a buffer they are copied to it. -1 where there is no such stream.
EXPORTED int64_t qlight_recorded(const char* name, uint8_t* buffer) {
    hls::Recorded* stream = find(name);
    if (!stream) return -1;
    if (buffer) std::memcpy(buffer, stream->bytes.data(), stream->bytes.size());
    return stream->bytes.size();
}
