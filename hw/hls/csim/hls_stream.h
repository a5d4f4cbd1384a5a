// hls::stream for C-simulation with a common compiler: what the units of hw/hls use of it, written for qlight. Vitis HLS brings its own.
//
// As there, a stream has no end in C-simulation. Streams that have a name can be recorded: tests look at what went over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace hls {

// All named streams of the program.
class Recorded {
public:
    const std::string name;
    bool recording = false;
    int64_t written = 0;         // beats, ever
    std::vector<uint8_t> bytes;  // of the recorded beats, each in whole bytes, little-endian
    virtual size_t size() const = 0;

    static std::vector<Recorded*>& all() {
        static std::vector<Recorded*> streams;
        return streams;
    }

protected:
    explicit Recorded(const char* given) : name(given) {
        if (!name.empty()) all().push_back(this);
    }
    ~Recorded() = default;  // streams live as long as the program
};

template <class T>
class stream : public Recorded {
public:
    explicit stream(const char* given = "") : Recorded(given) {}
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    void write(const T& beat) {
        ++written;
        if (recording) {
            for (int bit = 0; bit < T::width; bit += 8) bytes.push_back(beat.range(bit + 8 < T::width ? bit + 7 : T::width - 1, bit).to_uint());
        }
        beats.push_back(beat);
    }
    bool read_nb(T& beat) {
        if (beats.empty()) return false;
        beat = beats.front();
        beats.pop_front();
        return true;
    }
    T read() {  // a program that reads what is not there is wrong
        T beat = beats.at(0);
        beats.pop_front();
        return beat;
    }
    bool empty() const { return beats.empty(); }
    size_t size() const override { return beats.size(); }

private:
    std::deque<T> beats;
};

}  // namespace hls
