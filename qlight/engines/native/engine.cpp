// The packed engine's layers. Python (qlight/engines/plan.py) lays out buffers and packs weights; this runs a plan on some images.
// No state: every call works on its own scratch memory, so threads may call at once. Layer mirrors `native.Layer`, field by field.
#include "vectors.hpp"

enum Kind : int64_t { DOT, PACK, POOL_BYTES, POOL_SUMS, THRESHOLD };
enum Operation : int64_t { BITS, BYTES, SMALL_BYTES };
enum Output : int64_t { SUMS, BYTE_CODES, PLANE_CODES };
enum Rule : int64_t { COMPARE, LINE, FINE_LINE, NEAR, SEARCH };

struct Layer {
    int64_t kind;
    int64_t source, target;                // where a buffer begins in scratch memory; -1: the images, or the result
    int64_t source_stride, target_stride;  // bytes an image
    // DOT: pixels are those of the sums, window by window where pooled
    int64_t operation, pooled, pixels, vectors, outputs, groups;
    const int64_t* group_steps;    // groups: steps of each; the sum doubles between groups
    const int64_t* step_offset;    // all steps: where each finds its 4 bytes, from the pixel's own place
    const int32_t* weights;        // pair of vectors by pair: steps x lanes
    const int64_t* source_offset;  // pixels
    const int64_t* target_offset;  // pixels, or windows where pooled
    int64_t output, factor;        // sums are factor * dot + offset
    const int32_t* offset;         // vectors x LANES
    // thresholds of DOT (on its dot products) and of THRESHOLD (on sums)
    const int64_t* rule;  // of each vector of channels
    int64_t levels, planes, plane_bytes;
    const int32_t* ladder;    // levels x channels, ascending, for COMPARE
    const int32_t* sentried;  // channels x (levels + 2): the levels between the least and the greatest integer, for all else
    const float* slope;       // LINE, NEAR: count = slope * dot + shift, cut to 0 .. levels; NEAR: or one more or less
    const float* shift;
    const double* fine_slope;  // FINE_LINE
    const double* fine_shift;
    const int32_t* flip;  // xor of the count: levels where the direction is -1
    // maps of the other kinds, (height, width, channels) of the source
    int64_t height, width, channels, kernel_height, kernel_width, down, across;
    int64_t row_offset, row_stride, pixel_stride;  // PACK: of the target
};

namespace {

// the number of levels that are <= value; levels + 1 is a power of 2
INLINE int32_t count_reached(const int32_t* levels, int64_t count, int32_t value) {
    int32_t reached = 0;
    for (int32_t step = static_cast<int32_t>(count + 1) / 2; step > 0; step /= 2) reached += levels[reached + step - 1] <= value ? step : 0;
    return reached;
}

// floor of a line, cut to 0 .. most
template <class Integers, class Reals>
INLINE Integers on_line(Integers dot, const Reals& slope, const Reals& shift, int64_t most) {
    const Reals zero = {}, top = zero + static_cast<float>(most);
    Reals line = __builtin_convertvector(dot, Reals) * slope + shift;
    line = line < top ? line : top;
    line = line > zero ? line : zero;
    return __builtin_convertvector(line, Integers);
}

INLINE vec on_fine_line(const Layer& layer, int64_t channel, vec dot) {
    half counts[2];
    std::memcpy(counts, &dot, sizeof(dot));
    for (int side = 0; side < 2; ++side) {
        const int64_t at = channel + side * (LANES / 2);
        counts[side] = on_line(counts[side], load<dvec>(layer.fine_slope + at), load<dvec>(layer.fine_shift + at), layer.levels);
    }
    return load<vec>(counts);
}

INLINE vec count_codes(const Layer& layer, int64_t channel, vec dot) {
    vec count = {};
    const int64_t rule = layer.rule[channel / LANES];
    if (rule == COMPARE) {
        const int32_t* row = layer.ladder + channel;
        for (int64_t level = 0; level < layer.levels; ++level, row += layer.vectors * LANES) count -= (vec)(dot >= load<vec>(row));
        return count ^ load<vec>(layer.flip + channel);
    }
    const int32_t* sentried = layer.sentried + channel * (layer.levels + 2);
    const vec rows = lane_numbers() * static_cast<int32_t>(layer.levels + 2);
    if (rule == SEARCH) {
        for (int32_t step = static_cast<int32_t>(layer.levels + 1) / 2; step > 0; step /= 2)
            count -= (vec)(dot >= gather(sentried, rows + count + step)) * step;
        return count ^ load<vec>(layer.flip + channel);
    }
    if (rule == FINE_LINE) count = on_fine_line(layer, channel, dot);
    else count = on_line(dot, load<fvec>(layer.slope + channel), load<fvec>(layer.shift + channel), layer.levels);
    if (rule == NEAR) {
        const vec below = (vec)(dot < gather(sentried, rows + count)), above = (vec)(dot >= gather(sentried, rows + count + 1));
        count += below - above;
    }
    return count ^ load<vec>(layer.flip + channel);
}

INLINE void store_bits(uint8_t* to, uint32_t bits) {
    if (LANES == 16) store<uint16_t>(to, static_cast<uint16_t>(bits));
    else *to = static_cast<uint8_t>(bits);
}

INLINE void emit(const Layer& layer, int64_t channel, vec dot, uint8_t* to) {
    const int64_t valid = layer.outputs - channel;
    if (layer.output == SUMS) {
        const vec sum = dot * splat(static_cast<int32_t>(layer.factor)) + load<vec>(layer.offset + channel);
        std::memcpy(to + channel * 4, &sum, static_cast<size_t>(valid < LANES ? valid : LANES) * 4);
    } else if (layer.output == PLANE_CODES && layer.levels == 1) {
        const uint32_t flip = at_least(load<vec>(layer.flip + channel), splat(1));
        store_bits(to + channel / 8, at_least(dot, load<vec>(layer.ladder + channel)) ^ flip);
    } else if (layer.output == PLANE_CODES) {
        const vec code = count_codes(layer, channel, dot);
        for (int64_t plane = 0; plane < layer.planes; ++plane)
            store_bits(to + plane * layer.plane_bytes + channel / 8, at_least((code >> plane) & 1, splat(1)));
    } else {
        const bvec code = __builtin_convertvector(count_codes(layer, channel, dot), bvec);
        if (valid >= LANES) store(to + channel, code);
        else std::memcpy(to + channel, &code, static_cast<size_t>(valid));
    }
}

struct Position {  // of the next pixel in the images
    int64_t image, pixel;
};

// P pixels (whole windows where pooled) x V vectors of channels
template <class Op, int P, int V>
INLINE void tile(const Layer& layer, const uint8_t* source, uint8_t* target, int64_t vector, Position& at) {
    const uint8_t* in[P];
    uint8_t* out[P];
    for (int p = 0; p < P; ++p) {
        in[p] = source + at.image * layer.source_stride + layer.source_offset[at.pixel];
        out[p] = target + at.image * layer.target_stride + layer.target_offset[layer.pooled ? at.pixel / 4 : at.pixel];
        if (++at.pixel == layer.pixels) at.pixel = 0, ++at.image;
    }
    vec sum[P][V] = {};
    const int64_t* offset = layer.step_offset;
    int64_t total = 0;
    for (int64_t group = 0; group < layer.groups; ++group) total += layer.group_steps[group];
    const int32_t* weights = layer.weights + vector * LANES * total;
    for (int64_t group = 0; group < layer.groups; ++group) {
        if (group > 0)
            for (int p = 0; p < P; ++p)
                for (int v = 0; v < V; ++v) sum[p][v] += sum[p][v];
        const int64_t* end = offset + layer.group_steps[group];
        for (; offset != end; ++offset, weights += V * LANES) {
            const int64_t here = *offset;
            vec w[V];
            for (int v = 0; v < V; ++v) w[v] = load<vec>(weights + v * LANES);
#pragma GCC unroll 8
            for (int p = 0; p < P; ++p) {
                const vec a = splat(load<int32_t>(in[p] + here));
                for (int v = 0; v < V; ++v) sum[p][v] = Op::step(sum[p][v], a, w[v]);
            }
        }
    }
    if (P >= 4 && layer.pooled) {
        for (int p = 0; p + 3 < P; p += 4)
            for (int v = 0; v < V; ++v) {
                const vec left = sum[p][v] > sum[p + 1][v] ? sum[p][v] : sum[p + 1][v];
                const vec right = sum[p + 2][v] > sum[p + 3][v] ? sum[p + 2][v] : sum[p + 3][v];
                emit(layer, (vector + v) * LANES, left > right ? left : right, out[p]);
            }
        return;
    }
    for (int p = 0; p < P; ++p)
        for (int v = 0; v < V; ++v) emit(layer, (vector + v) * LANES, sum[p][v], out[p]);
}

template <class Op, int V>
void columns(const Layer& layer, const uint8_t* source, uint8_t* target, int64_t images, int64_t vector) {
    Position at = {0, 0};
    int64_t left = images * layer.pixels;
    for (; left >= TILE; left -= TILE) tile<Op, TILE, V>(layer, source, target, vector, at);
    if (TILE > 4)
        for (; left >= 4; left -= 4) tile<Op, 4, V>(layer, source, target, vector, at);
    for (; left > 0; --left) tile<Op, 1, V>(layer, source, target, vector, at);
}

template <class Op>
void dot(const Layer& layer, const uint8_t* source, uint8_t* target, int64_t images) {
    int64_t vector = 0;
    for (; vector + 2 <= layer.vectors; vector += 2) columns<Op, 2>(layer, source, target, images, vector);
    if (vector < layer.vectors) columns<Op, 1>(layer, source, target, images, vector);
}

// dense bytes into a map with borders, as bytes or as bit planes
void pack(const Layer& layer, const uint8_t* source, uint8_t* target) {
    for (int64_t y = 0; y < layer.height; ++y) {
        uint8_t* row = target + layer.row_offset + y * layer.row_stride;
        if (layer.planes == 0) {
            std::memcpy(row, source, static_cast<size_t>(layer.width * layer.channels));
            source += layer.width * layer.channels;
            continue;
        }
        for (int64_t x = 0; x < layer.width; ++x, row += layer.pixel_stride, source += layer.channels) {
            std::memset(row, 0, static_cast<size_t>(layer.pixel_stride));
            for (int64_t c = 0; c < layer.channels; ++c)
                for (int64_t plane = 0; plane < layer.planes; ++plane)
                    row[plane * layer.plane_bytes + c / 8] |= static_cast<uint8_t>(((source[c] >> plane) & 1) << (c % 8));
        }
    }
}

template <class T>
void pool(const Layer& layer, const T* source, T* target) {
    const int64_t height = (layer.height - layer.kernel_height) / layer.down + 1, width = (layer.width - layer.kernel_width) / layer.across + 1;
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x, target += layer.channels) {
            const T* window = source + (y * layer.down * layer.width + x * layer.across) * layer.channels;
            std::memcpy(target, window, static_cast<size_t>(layer.channels) * sizeof(T));
            for (int64_t i = 0; i < layer.kernel_height; ++i)
                for (int64_t j = 0; j < layer.kernel_width; ++j) {
                    const T* place = window + (i * layer.width + j) * layer.channels;
                    for (int64_t c = 0; c < layer.channels; ++c) target[c] = target[c] > place[c] ? target[c] : place[c];
                }
        }
}

void threshold(const Layer& layer, const int32_t* source, uint8_t* target) {
    for (int64_t pixel = 0; pixel < layer.height * layer.width; ++pixel, source += layer.channels, target += layer.channels)
        for (int64_t c = 0; c < layer.channels; ++c)
            target[c] = static_cast<uint8_t>(count_reached(layer.sentried + c * (layer.levels + 2) + 1, layer.levels, source[c]) ^ layer.flip[c]);
}

}  // namespace

extern "C" int64_t qlight_lanes() { return LANES; }

extern "C" int64_t qlight_layer_bytes() { return sizeof(Layer); }

// How many pairs of bit planes are quicker than products of bytes (measured on one machine, compiled for older ones).
extern "C" int64_t qlight_plane_pairs() {
#if WIDE && defined(__AVX512VPOPCNTDQ__) && defined(__AVX512VNNI__)
    return 4;
#elif defined(__AVX2__) && !defined(__AVX512VPOPCNTDQ__)
    return 2;
#else
    return 8;
#endif
}

// Runs `count` layers on `images` images; `scratch` was laid out for at least as many.
extern "C" void qlight_run(const Layer* layers, int64_t count, const uint8_t* pixels, int64_t images, uint8_t* scratch, int32_t* result) {
    for (const Layer* layer = layers; layer != layers + count; ++layer) {
        const uint8_t* source = layer->source < 0 ? pixels : scratch + layer->source;
        uint8_t* target = layer->target < 0 ? reinterpret_cast<uint8_t*>(result) : scratch + layer->target;
        if (layer->kind == DOT) {
            if (layer->operation == BITS) dot<Bits>(*layer, source, target, images);
            else if (layer->operation == BYTES) dot<Bytes>(*layer, source, target, images);
            else dot<SmallBytes>(*layer, source, target, images);
            continue;
        }
        for (int64_t image = 0; image < images; ++image, source += layer->source_stride, target += layer->target_stride) {
            if (layer->kind == PACK) pack(*layer, source, target);
            else if (layer->kind == POOL_BYTES) pool(*layer, source, target);
            else if (layer->kind == POOL_SUMS) pool(*layer, reinterpret_cast<const int32_t*>(source), reinterpret_cast<int32_t*>(target));
            else threshold(*layer, reinterpret_cast<const int32_t*>(source), target);
        }
    }
}
