/* Whole numbers of 8 bits, held by floats: the nearest to x, half to even, within whole bounds. */
INLINE float round_to(float x, float low, float high)
{
    const float above = x > low ? x : low;
    return rintf(above < high ? above : high);
}

INLINE void quantise(const float *x, float *y, int n, float scale, float low, float high)
{
    for (int i = 0; i < n; i++)
        y[i] = round_to(x[i] / scale, low, high);
}

/* The same out of sums, each channel of n by a factor of its own. */
INLINE void requantise(float *y, const float *factors, int n_channels, int n, float low, float high)
{
    for (int c = 0; c < n_channels; c++, y += n) {
        const float factor = factors[c];
        for (int i = 0; i < n; i++)
            y[i] = round_to(y[i] * factor, low, high);
    }
}

/* Numbers out of sums, each channel of n by a factor of its own. */
INLINE void dequantise(float *y, const float *factors, int n_channels, int n)
{
    for (int c = 0; c < n_channels; c++, y += n) {
        const float factor = factors[c];
        for (int i = 0; i < n; i++)
            y[i] *= factor;
    }
}

INLINE ints load_ints(const void *at)
{
    ints v;
    memcpy(&v, at, sizeof v);
    return v;
}

INLINE int load_int(const void *at)
{
    int n;
    memcpy(&n, at, sizeof n);
    return n;
}

/* Adds four products, of bytes and of weights, to each sum; both are joined in the same way, whichever comes first. */
#if defined(__AVX512VNNI__) && LANES == 16
#include <immintrin.h>
INLINE ints add_products(ints sums, int bytes, ints w)
{
    return (ints)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(bytes), (__m512i)w);
}
#else
INLINE ints add_products(ints sums, int bytes, ints w)
{
    for (int shift = 0; shift < 32; shift += 8)
        sums += (bytes >> shift & 255) * ((ints)((uints)w << (24 - shift)) >> 24);
    return sums;
}
#endif

/* y = b + w x in 32 bits, with w (n_in / 4, n_out, 4). x is taken as bytes from 0 on, for which b makes up. */
INLINE void dense_bytes(const float *x, const int8_t *w, const int *b, float *y, void *bytes, int n_read, int n_in,
                        int n_out, int zero)
{
    uint8_t *from = bytes;
    for (int k = 0; k < n_read; k++)
        from[k] = (uint8_t)((int)x[k] + zero);
    for (int k = n_read; k < n_in; k++)
        from[k] = 0;
    for (int o = 0; o < n_out; o += LANES, w += 4 * LANES) {
        ints sums[4] = {load_ints(b + o)}; /* they do not wait for each other */
        int made[LANES], k = 0;
        for (; k + 16 <= n_in; k += 16)
            for (int c = 0; c < 4; c++)
                sums[c] = add_products(sums[c], load_int(from + k + 4 * c), load_ints(w + (k + 4 * c) * n_out));
        for (; k < n_in; k += 4)
            sums[0] = add_products(sums[0], load_int(from + k), load_ints(w + k * n_out));
        sums[0] += sums[1] + (sums[2] + sums[3]);
        memcpy(made, sums, sizeof made);
        for (int i = 0; i < LANES; i++)
            y[o + i] = (float)made[i];
    }
}
