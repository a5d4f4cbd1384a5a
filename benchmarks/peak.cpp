// The machine's bound: steps a second of one thread in registers, for each of the packed engine's operations; engine.py compiles and runs it.
#include "vectors.hpp"

#include <chrono>
#include <cstdio>

// As many independent sums as the engine keeps in registers. The assembler statements keep the compiler from seeing through the loop.
template <class Op>
double steps_a_second() {
    constexpr int SUMS = 2 * TILE;
    constexpr int64_t ROUNDS = 1 << 22;
    vec sums[SUMS] = {};
    vec a = splat(0x5a5a5a5a), w = splat(0x01020304);
    double best = 0;
    for (int attempt = 0; attempt < 5; ++attempt) {
        const auto start = std::chrono::steady_clock::now();
        for (int64_t round = 0; round < ROUNDS; ++round) {
            for (int i = 0; i < SUMS; ++i) {
                asm volatile("" : "+v"(a));
                sums[i] = Op::step(sums[i], a, w);
                asm volatile("" : "+v"(sums[i]));
            }
        }
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const double speed = static_cast<double>(ROUNDS * SUMS) / seconds;
        best = speed > best ? speed : best;
    }
    return best;
}

int main() {
    for (int operation = 0; operation < 3; ++operation)
        std::printf("%.0f\n", operation == 0 ? steps_a_second<Bits>() : operation == 1 ? steps_a_second<Bytes>() : steps_a_second<SmallBytes>());
}
