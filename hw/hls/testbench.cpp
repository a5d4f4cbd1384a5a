// Test bench for C-simulation and co-simulation: images in, accumulators compared with those of the reference executor.
// The memories hold what they hold after configuration; what they cannot hold is loaded, and streamed weights lie behind their ports.

#include <cstdio>

#include "qlight_hls.hpp"
#include "qlight_vectors.hpp"

int main() {
    using namespace accelerator;
    hls::stream<ap_uint<32>> s_axis, m_axis;
    qlight::Chain cfg;
    static Memory memory;
    for (int port = 0; port < STREAMED; ++port) memory.put(port, WEIGHTS[port]);
    if (!PRESET) {
        cfg.write(qlight::Word(1) << qlight::START_BIT);
        for (int i = 0; i < PARAMETER_WORDS; ++i) cfg.write(PARAMETERS[i]);
    }
    if (STREAMED) cfg.write((qlight::Word(1) << qlight::RUN_BIT) | 1);
    // A call is a clock cycle. Parameters travel a word a cycle and a few cycles a unit.
    for (int i = 0; i < PROCESSES + (PRESET ? 0 : PARAMETER_WORDS); ++i) memory.cycle(s_axis, cfg, m_axis);
    for (int i = 0; i < VECTORS * IMAGE_WORDS; ++i) s_axis.write(IMAGES[i]);
    // Half again of what the images take is a fault.
    long long calls = 0;
    int received = 0, wrong = 0;
    while (received < VECTORS * CLASSES && calls < MOST_CALLS) {
        memory.cycle(s_axis, cfg, m_axis);
        ++calls;
        if (m_axis.empty()) continue;
        const int found = ap_int<32>(m_axis.read()).to_int();
        if (found != ACCUMULATORS[received] && wrong++ < 10) {
            std::printf("image %d, class %d: expected %d, got %d\n", received / CLASSES, received % CLASSES, ACCUMULATORS[received], found);
        }
        ++received;
    }
    std::printf("%d of %d accumulators after %lld calls, %d wrong\n", received, VECTORS * CLASSES, calls, wrong);
    return received == VECTORS * CLASSES && wrong == 0 ? 0 : 1;
}
