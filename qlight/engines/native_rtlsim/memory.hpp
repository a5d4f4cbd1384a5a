// The memory behind an AXI4 read port of a verilated top level: takes a burst a cycle, gives a word a cycle, in order.

#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>

#include "verilated.h"

struct Memory {
    // What lies at `base` and up, owned by the caller; a burst's first word comes `latency` cycles later than it could, and every `gap`
    // cycles, where it is not 0, none comes.
    const uint8_t* data = nullptr;
    uint64_t size = 0, base = 0, latency = 0, gap = 0;
    // Where nothing lies: a decode error with words of noise, as a board's interconnect answers; else an exception, a fault of the design.
    bool decodes = false;
    uint64_t words = 0;  // given
    struct Burst {
        uint64_t address, left, from;
    };
    std::deque<Burst> bursts;

    // Just before the clock rises: the word that is offered is taken (a reader is always ready), and so is a burst.
    void sample(bool offered, uint64_t bytes, bool asks, uint64_t address, uint64_t length, uint64_t cycle) {
        if (offered) {
            ++words;
            bursts.front().address += bytes;
            if (--bursts.front().left == 0) bursts.pop_front();
        }
        if (asks) bursts.push_back({address, length + 1, cycle + 1 + latency});
    }
    // What is offered in a cycle, with its response (0: okay, 3: decode error).
    template <class Word>
    bool offer(Word& word, uint8_t& response, uint64_t cycle) const {
        if (bursts.empty() || cycle < bursts.front().from || (gap && cycle % gap == 0)) return false;
        const uint64_t address = bursts.front().address;
        const bool held = address >= base && address - base <= size && size - (address - base) >= sizeof(Word);
        if (!held && !decodes) throw std::runtime_error("address " + std::to_string(address) + " of a memory port holds no weights");
        if (held)
            std::memcpy(&word, data + (address - base), sizeof(Word));
        else
            std::memset(&word, 0x5A, sizeof(Word));
        response = held ? 0 : 3;
        return true;
    }
    bool last() const { return !bursts.empty() && bursts.front().left == 1; }
};
