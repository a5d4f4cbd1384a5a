// Drives a verilated qlight_top from one thread: images in, accumulators out, AXI4-Lite registers, parameter words.
// Python loads the library by ctypes and calls these functions without the interpreter's lock, so instances run in parallel.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include "Vqlight_top.h"
#include "Vqlight_top___024root.h"
#include "memory.hpp"
#include "ports.hpp"  // QLIGHT_PORTS(X): X(0) X(1) ... for the memory ports of this top level; QLIGHT_UNITS(X): X(name) for its MVTUs
#include "verilated.h"

namespace {

thread_local std::string memory_folder;  // where $readmemh finds relative names, while an instance is made
thread_local std::string missing_file;   // that it did not find; Verilator only warns

#define QLIGHT_ONE(k) +1
constexpr int PORTS = 0 QLIGHT_PORTS(QLIGHT_ONE);
constexpr int UNITS = 0 QLIGHT_UNITS(QLIGHT_ONE);

struct Simulation {
    VerilatedContext context;
    Vqlight_top top{&context};
    uint64_t cycle = 0;
    std::string problem;
    Memory memories[PORTS + 1];  // an array has at least one
    int64_t issued[UNITS + 1] = {};  // cycles in which each MVTU read a row of its weights

    void settle() {  // inputs are set while the clock is low
        top.clk = 0;
        top.eval();
    }
    void edge() {
#define QLIGHT_SAMPLE(k)                                                                                              \
    memories[k].sample(top.m_axi_w##k##_rvalid, sizeof(top.m_axi_w##k##_rdata), top.m_axi_w##k##_arvalid, \
                       top.m_axi_w##k##_araddr, top.m_axi_w##k##_arlen, cycle);
#define QLIGHT_OFFER(k)                                                                                          \
    top.m_axi_w##k##_rvalid = memories[k].offer(top.m_axi_w##k##_rdata, top.m_axi_w##k##_rresp, cycle); \
    top.m_axi_w##k##_rlast = memories[k].last();
        QLIGHT_PORTS(QLIGHT_SAMPLE)
        int64_t* count = issued;
#define QLIGHT_ISSUE(name) *count++ += top.rootp->qlight_top__DOT__u_##name##__DOT__advance;
        QLIGHT_UNITS(QLIGHT_ISSUE)
        top.clk = 1;
        top.eval();
        ++cycle;
        QLIGHT_PORTS(QLIGHT_OFFER)
    }
    void step() {
        settle();
        edge();
    }
    void reset() {
        top.rst_n = 0;
        top.s_axis_tvalid = 0;
        top.s_axis_tdata = 0;
        top.m_axis_tready = 1;
        top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_bready = top.s_axi_arvalid = top.s_axi_rready = 0;
        top.s_axi_awaddr = top.s_axi_araddr = 0;
        top.s_axi_wdata = 0;
        top.s_axi_wstrb = 15;
#define QLIGHT_RESET(k)           \
    top.m_axi_w##k##_arready = 1; \
    top.m_axi_w##k##_rvalid = 0;  \
    top.m_axi_w##k##_rresp = 0;
        QLIGHT_PORTS(QLIGHT_RESET)
        for (int i = 0; i < 8; ++i) step();
        top.rst_n = 1;
        step();
    }
};

constexpr uint64_t REGISTER_LIMIT = 1000;  // cycles that a register access may take

template <class Work>
int64_t guarded(Simulation* simulation, Work work) {
    try {
        return work();
    } catch (const std::exception& error) {
        simulation->problem = error.what();
        return -1;
    }
}

}  // namespace

// Verilator's own versions of these end the process.
void vl_fatal(const char* file, int line, const char*, const char* message) {
    throw std::runtime_error(std::string(message) + " (" + file + ":" + std::to_string(line) + ")");
}
void vl_stop(const char* file, int line, const char* scope) { vl_fatal(file, line, scope, "the simulation stopped itself"); }
void vl_finish(const char* file, int line, const char* scope) { vl_fatal(file, line, scope, "the simulation finished itself"); }

extern "C" {

// The linker gives this to Verilator's runtime in place of fopen (--wrap=fopen), so that the working folder of the process stays as it is.
FILE* __real_fopen(const char* path, const char* mode);
FILE* __wrap_fopen(const char* path, const char* mode) {
    if (memory_folder.empty() || path[0] == '/') return __real_fopen(path, mode);
    FILE* file = __real_fopen((memory_folder + "/" + path).c_str(), mode);
    if (!file) missing_file = path;
    return file;
}

// An instance after reset, its memories as the files in `folder` say; on failure null, with what went wrong in `problem`.
void* qlight_new(const char* folder, char* problem, int64_t size) {
    Simulation* simulation = nullptr;
    try {
        memory_folder = folder;
        missing_file.clear();
        simulation = new Simulation;
        simulation->reset();
        memory_folder.clear();
        if (!missing_file.empty()) throw std::runtime_error(missing_file + " cannot be read");
        return simulation;
    } catch (const std::exception& error) {
        memory_folder.clear();
        std::snprintf(problem, size, "%s", error.what());
        delete simulation;
        return nullptr;
    }
}

void qlight_delete(void* handle) {
    auto* simulation = static_cast<Simulation*>(handle);
    // Scopes (of observed signals) leave the context of this thread, which may be that of an instance that is gone: name the right one.
    Verilated::threadContextp(&simulation->context);
    delete simulation;
    Verilated::threadContextp(nullptr);
}

// What went wrong when a function last gave -1.
const char* qlight_problem(void* handle) { return static_cast<Simulation*>(handle)->problem.c_str(); }

// Puts `size` bytes, which the caller keeps, behind memory port `port`, from address `base` on. See memory.hpp for the rest.
int64_t qlight_memory(void* handle, int64_t port, const uint8_t* data, int64_t size, uint64_t base, int64_t latency, int64_t gap,
                      int64_t decodes) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        if (port < 0 || port >= PORTS) throw std::runtime_error("there is no memory port " + std::to_string(port));
        Memory& memory = simulation->memories[port];
        memory.data = data, memory.size = size, memory.base = base, memory.latency = latency, memory.gap = gap;
        memory.decodes = decodes;
        return 0;
    });
}

// Words that memory port `port` has given.
int64_t qlight_memory_words(void* handle, int64_t port) { return static_cast<Simulation*>(handle)->memories[port].words; }

// Sends `count` images of `words` words each back to back, and takes `classes` accumulators of each.
// done[i]: cycles from the first accepted word to the last accumulator of image i, both included. taken[i]: likewise to its last word.
// issued[i]: cycles in which each MVTU worked until then, since the instance was made.
// Every `stall` cycles, where it is not 0, the receiver is not ready for one. Gives -1 where nothing moves for `patience` cycles.
int64_t qlight_run(void* handle, const uint32_t* images, int64_t count, int64_t words, int64_t classes, int32_t* found, int64_t* done,
                   int64_t* taken, int64_t* issued, int64_t stall, int64_t patience) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        auto& top = simulation->top;
        const int64_t inputs = count * words, outputs = count * classes;
        int64_t sent = 0, received = 0, idle = 0, image = 0, of_class = 0, of_word = 0, fed = 0;
        uint64_t start = 0;
        while (received < outputs) {
            top.s_axis_tvalid = sent < inputs;
            if (sent < inputs) top.s_axis_tdata = images[sent];
            top.m_axis_tready = !(stall && simulation->cycle % stall == 0);
            simulation->settle();
            const bool in = top.s_axis_tvalid && top.s_axis_tready, out = top.m_axis_tvalid && top.m_axis_tready;
            if (in) {
                if (sent == 0) start = simulation->cycle;
                ++sent;
                if (++of_word == words) of_word = 0, taken[fed++] = simulation->cycle + 1 - start;
            }
            if (out) {
                if (sent == 0) throw std::runtime_error("an accumulator came before any image went in");
                found[received++] = static_cast<int32_t>(top.m_axis_tdata);
                const bool last = ++of_class == classes;
                if (bool(top.m_axis_tlast) != last) throw std::runtime_error("m_axis_tlast does not mark the last class");
                if (last) {
                    std::copy_n(simulation->issued, UNITS, issued + image * UNITS);
                    of_class = 0, done[image++] = simulation->cycle + 1 - start;
                }
            }
            idle = in || out ? 0 : idle + 1;
            simulation->edge();
            if (idle > patience)
                throw std::runtime_error("nothing moved for " + std::to_string(patience) + " cycles, after " + std::to_string(sent) +
                                         " words in and " + std::to_string(received) + " accumulators out");
        }
        top.s_axis_tvalid = 0;
        top.m_axis_tready = 1;
        return simulation->cycle - start;
    });
}

// Moves words through both streams as a DMA does: sends `count` words, and takes words until it has `expected`; last[i] is m_axis_tlast of
// word i. Gives -1 where nothing moves for `patience` cycles.
int64_t qlight_transfer(void* handle, const uint32_t* words, int64_t count, uint32_t* found, uint8_t* last, int64_t expected,
                        int64_t patience) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        auto& top = simulation->top;
        int64_t sent = 0, received = 0, idle = 0;
        while (sent < count || received < expected) {
            top.s_axis_tvalid = sent < count;
            if (sent < count) top.s_axis_tdata = words[sent];
            top.m_axis_tready = received < expected;
            simulation->settle();
            const bool in = top.s_axis_tvalid && top.s_axis_tready, out = top.m_axis_tvalid && top.m_axis_tready;
            if (out) found[received] = top.m_axis_tdata, last[received] = top.m_axis_tlast;
            sent += in;
            received += out;
            idle = in || out ? 0 : idle + 1;
            simulation->edge();
            if (idle > patience)
                throw std::runtime_error("nothing moved for " + std::to_string(patience) + " cycles, after " + std::to_string(sent) +
                                         " words in and " + std::to_string(received) + " out");
        }
        top.s_axis_tvalid = 0;
        top.m_axis_tready = 1;
        return received;
    });
}

// Sends words to the input stream; the caller has chosen load mode.
int64_t qlight_send(void* handle, const uint32_t* data, int64_t count) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        auto& top = simulation->top;
        uint64_t waited = 0;
        for (int64_t sent = 0; sent < count;) {
            top.s_axis_tvalid = 1;
            top.s_axis_tdata = data[sent];
            simulation->settle();
            const bool in = top.s_axis_tready;
            simulation->edge();
            waited = in ? 0 : waited + 1;
            sent += in;
            if (waited > REGISTER_LIMIT) throw std::runtime_error("the input stream takes no parameter words");
        }
        top.s_axis_tvalid = 0;
        return 0;
    });
}

// Steps the clock with idle streams; words on their way through the parameter chain arrive.
int64_t qlight_step(void* handle, int64_t cycles) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        while (cycles-- > 0) simulation->step();
        return 0;
    });
}

int64_t qlight_write(void* handle, uint32_t address, uint32_t value) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        auto& top = simulation->top;
        top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_bready = 1;
        top.s_axi_awaddr = address;
        top.s_axi_wdata = value;
        top.s_axi_wstrb = 15;
        for (uint64_t waited = 0; waited < REGISTER_LIMIT; ++waited) {
            simulation->settle();
            const bool address_taken = top.s_axi_awvalid && top.s_axi_awready, data_taken = top.s_axi_wvalid && top.s_axi_wready;
            const bool answered = top.s_axi_bvalid, good = top.s_axi_bresp == 0;
            simulation->edge();
            if (address_taken) top.s_axi_awvalid = 0;
            if (data_taken) top.s_axi_wvalid = 0;
            if (answered) {
                top.s_axi_bready = 0;
                if (!good) throw std::runtime_error("register " + std::to_string(address) + " cannot be written");
                return 0;
            }
        }
        throw std::runtime_error("a register write was not answered");
    });
}

int64_t qlight_read(void* handle, uint32_t address) {
    auto* simulation = static_cast<Simulation*>(handle);
    return guarded(simulation, [&]() -> int64_t {
        auto& top = simulation->top;
        top.s_axi_arvalid = top.s_axi_rready = 1;
        top.s_axi_araddr = address;
        for (uint64_t waited = 0; waited < REGISTER_LIMIT; ++waited) {
            simulation->settle();
            const bool taken = top.s_axi_arvalid && top.s_axi_arready, answered = top.s_axi_rvalid;
            const bool good = top.s_axi_rresp == 0;
            const uint32_t value = top.s_axi_rdata;
            simulation->edge();
            if (taken) top.s_axi_arvalid = 0;
            if (answered) {
                top.s_axi_rready = 0;
                if (!good) throw std::runtime_error("register " + std::to_string(address) + " cannot be read");
                return value;
            }
        }
        throw std::runtime_error("a register read was not answered");
    });
}

}  // extern "C"
