// The products of SIMD weights with SIMD activations, summed, for PE rows: exact modulo 2^ACC_BITS.
//
// A weight's code k is two's complement (WEIGHT_SIGNED) or "odd", where it stands for 2k - (2^WEIGHT_BITS - 1). An activation's code a stands
// for itself, or for 2a - 1 (BIPOLAR). What a dot product must be less than the truth is in START, at which the accumulator begins.
//
// IMPL  a product is                                            takes
// 0     a multiplication                                        everything
// 1     an XNOR, counted                                        odd 1-bit weights, bipolar activations
// 2     an AND (XNOR if bipolar) a pair of bit planes, counted  all but signed weights with bipolar activations
// 3     half a DSP multiplication: two rows share it            unsigned activations, 2 WEIGHT_BITS + ACTIVATION_BITS + log2(SIMD) <= 24
// 4     a quarter of one of 27 bits (UltraScale+)               unsigned activations, WEIGHT_BITS + ACTIVATION_BITS <= 8
//
// U: PE, SIMD, MW, WEIGHT_BITS, WEIGHT_SIGNED, ACTIVATION_BITS, BIPOLAR, ACC_BITS, IMPL.
#pragma once

#include "qlight_codes.hpp"

namespace qlight {

// What all implementations share.
template <class U>
struct Product {
    typedef ap_uint<U::WEIGHT_BITS> Weight;
    typedef ap_uint<U::ACTIVATION_BITS> Activation;
    static constexpr int FULL_BITS = U::WEIGHT_BITS + U::ACTIVATION_BITS + bits_of(U::SIMD) + 2;
    typedef ap_int<smaller(FULL_BITS, U::ACC_BITS)> Sum;
    static constexpr int OFFSET = (1 << U::WEIGHT_BITS) - 1;  // odd weight = 2k - OFFSET
    static constexpr bool COUNTS_MATCHES = U::BIPOLAR && (U::IMPL == 1 || U::IMPL == 2);
    // XNOR counts the matches m of products of -1 and +1, and gives 2m instead of 2m - SIMD.
    static constexpr long long START = COUNTS_MATCHES ? -static_cast<long long>(U::MW) * OFFSET : 0;
    // Signed weights are counted as k + 2^(n-1) >= 0, which is the code with its top bit inverted.
    static constexpr int FLIP = U::WEIGHT_SIGNED ? 1 << (U::WEIGHT_BITS - 1) : 0;

    // What sums of unsigned codes lack, from the sum of the activations: 2^(n-1) sum(a) of signed, (2^n - 1) sum(a) of odd weights.
    static Sum repaired(Sum products, Sum activations) {
#pragma HLS INLINE
        if (U::WEIGHT_SIGNED) return products - (activations << (U::WEIGHT_BITS - 1));
        return (products << 1) - (activations << U::WEIGHT_BITS) + activations;
    }
};

template <class U, int IMPL>
struct Dot;

template <class U>
struct Dot<U, 0> {
    typedef Product<U> P;
    static typename P::Sum sum(const typename P::Weight (&weights)[U::SIMD], const typename P::Activation (&activations)[U::SIMD]) {
#pragma HLS INLINE
        typename P::Sum total = 0;
        for (int s = 0; s < U::SIMD; ++s) {
            const ap_int<U::WEIGHT_BITS> two = weights[s];
            const ap_int<U::WEIGHT_BITS + 2> weight = U::WEIGHT_SIGNED ? int(two) : 2 * int(weights[s]) - P::OFFSET;
            const ap_int<U::ACTIVATION_BITS + 1> activation = U::BIPOLAR ? 2 * int(activations[s]) - 1 : int(activations[s]);
            total += weight * activation;
        }
        return total;
    }
};

template <class U>
struct Dot<U, 1> {
    typedef Product<U> P;
    static typename P::Sum sum(const typename P::Weight (&weights)[U::SIMD], const typename P::Activation (&activations)[U::SIMD]) {
#pragma HLS INLINE
        static_assert(U::WEIGHT_BITS == 1 && !U::WEIGHT_SIGNED && U::BIPOLAR, "XNOR takes odd 1-bit weights and bipolar activations");
        ap_uint<bits_of(U::SIMD + 1)> matches = 0;
        for (int s = 0; s < U::SIMD; ++s) matches += weights[s] == activations[s] ? 1 : 0;
        return 2 * int(matches);
    }
};

template <class U>
struct Dot<U, 2> {
    typedef Product<U> P;
    typedef ap_uint<bits_of(U::SIMD + 1)> Count;
    static typename P::Sum sum(const typename P::Weight (&weights)[U::SIMD], const typename P::Activation (&activations)[U::SIMD]) {
#pragma HLS INLINE
        static_assert(!(U::WEIGHT_SIGNED && U::BIPOLAR), "bit planes do not take signed weights with bipolar activations");
        typename P::Sum total = 0, all = 0;
        for (int i = 0; i < U::ACTIVATION_BITS; ++i) {
            Count ones = 0;
            for (int s = 0; s < U::SIMD; ++s) ones += activations[s][i] ? 1 : 0;
            all += typename P::Sum(ones) << i;
            for (int j = 0; j < U::WEIGHT_BITS; ++j) {
                Count both = 0;
                for (int s = 0; s < U::SIMD; ++s) {
                    const bool weight = bool(weights[s][j]) != bool(P::FLIP >> j & 1), activation = activations[s][i];
                    both += (U::BIPOLAR ? weight == activation : weight && activation) ? 1 : 0;
                }
                total += typename P::Sum(both) << (i + j);
            }
        }
        return U::BIPOLAR ? typename P::Sum(total << 1) : P::repaired(total, all);
    }
};

// The dot products of all rows with one beat.
template <class U, int IMPL>
struct Rows {
    typedef Product<U> P;
    static void sum(const typename P::Weight (&weights)[U::PE][U::SIMD], const typename P::Activation (&activations)[U::SIMD],
                    typename P::Sum (&sums)[U::PE]) {
#pragma HLS INLINE
        for (int p = 0; p < U::PE; ++p) sums[p] = Dot<U, IMPL>::sum(weights[p], activations);
    }
};

// (k_high 2^FIELD + k_low) a on unsigned codes, summed over SIMD while packed: no field overflows into the next.
template <class U>
struct Rows<U, 3> {
    typedef Product<U> P;
    static void sum(const typename P::Weight (&weights)[U::PE][U::SIMD], const typename P::Activation (&activations)[U::SIMD],
                    typename P::Sum (&sums)[U::PE]) {
#pragma HLS INLINE
        constexpr int SIMD_BITS = U::SIMD > 1 ? bits_of(U::SIMD) : 0;
        constexpr int FIELD = U::WEIGHT_BITS + U::ACTIVATION_BITS + SIMD_BITS;
        static_assert(!U::BIPOLAR && U::WEIGHT_BITS + FIELD <= 24, "two products a multiplication need unsigned activations and 24 bits");
        typename P::Sum all = 0;
        for (int s = 0; s < U::SIMD; ++s) all += activations[s];
        for (int low = 0; low < U::PE; low += 2) {
            ap_uint<2 * FIELD> total = 0;
            for (int s = 0; s < U::SIMD; ++s) {
                ap_uint<U::WEIGHT_BITS + FIELD> both = typename P::Weight(weights[low][s] ^ P::FLIP);
                if (low + 1 < U::PE) both |= ap_uint<U::WEIGHT_BITS + FIELD>(typename P::Weight(weights[low + 1][s] ^ P::FLIP)) << FIELD;
                const ap_uint<U::WEIGHT_BITS + FIELD + U::ACTIVATION_BITS> product = both * activations[s];
#pragma HLS BIND_OP variable = product op = mul impl = dsp
                total += product;
            }
            for (int half = 0; half < 2 && low + half < U::PE; ++half) {
                const ap_uint<FIELD> products = total >> (half * FIELD);
                sums[low + half] = P::repaired(typename P::Sum(products), all);
            }
        }
    }
};

// Four codes FIELD bits apart in 27 bits. What of the last one does not fit is added behind the multiplication: k = x + 2^LEFT rest, x the
// signed number that the lower LEFT bits of k are. No carry comes up from below: nothing there is negative.
template <class U>
struct Rows<U, 4> {
    typedef Product<U> P;
    static void sum(const typename P::Weight (&weights)[U::PE][U::SIMD], const typename P::Activation (&activations)[U::SIMD],
                    typename P::Sum (&sums)[U::PE]) {
#pragma HLS INLINE
        constexpr int FIELD = U::WEIGHT_BITS + U::ACTIVATION_BITS, LEFT = 27 - 3 * FIELD;
        constexpr bool FITS = LEFT > U::WEIGHT_BITS;
        static_assert(!U::BIPOLAR && FIELD <= 8, "four products a multiplication need unsigned activations and 8 bits a product");
        typename P::Sum all = 0;
        for (int s = 0; s < U::SIMD; ++s) all += activations[s];
        for (int low = 0; low < U::PE; low += 4) {
            typename P::Sum total[4] = {0, 0, 0, 0};
#pragma HLS ARRAY_PARTITION variable = total type = complete
            for (int s = 0; s < U::SIMD; ++s) {
                ap_int<27> codes = 0;
                ap_uint<27> last = 0;
                for (int f = 0; f < 4 && low + f < U::PE; ++f) {
                    const ap_uint<27> code = typename P::Weight(weights[low + f][s] ^ P::FLIP);
                    codes.range(f < 3 ? (f + 1) * FIELD - 1 : 26, f * FIELD) = code;
                    if (f == 3) last = code;
                }
                const ap_int<27 + U::ACTIVATION_BITS + 1> products = codes * ap_int<U::ACTIVATION_BITS + 1>(activations[s]);
#pragma HLS BIND_OP variable = products op = mul impl = dsp
                const ap_uint<FIELD> rest = FITS ? ap_uint<FIELD>(0) : ap_uint<FIELD>((last >> LEFT) + last[LEFT - 1]);
                for (int f = 0; f < 4 && low + f < U::PE; ++f) {
                    ap_uint<FIELD> product = products >> (f * FIELD);
                    if (f == 3) product += (rest * activations[s]) << LEFT;
                    total[f] += product;
                }
            }
            for (int f = 0; f < 4 && low + f < U::PE; ++f) sums[low + f] = P::repaired(total[f], all);
        }
    }
};

}  // namespace qlight
