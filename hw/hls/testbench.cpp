// Test bench for C-simulation and co-simulation: images in, accumulators compared with those of the reference executor.
// The memories hold what they hold after configuration.

#include <cstdio>

#include "qlight_hls.hpp"
#include "qlight_vectors.hpp"

int main() {
    using namespace accelerator;
    hls::stream<ap_uint<32>> s_axis, m_axis;
    qlight::Chain cfg;
    for (int i = 0; i < VECTORS * IMAGE_WORDS; ++i) s_axis.write(IMAGES[i]);
    // A call is a clock cycle. Half again of what the images take is a fault.
    long long calls = 0;
    int received = 0, wrong = 0;
    while (received < VECTORS * CLASSES && calls < MOST_CALLS) {
        qlight_hls(s_axis, cfg, m_axis);
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
