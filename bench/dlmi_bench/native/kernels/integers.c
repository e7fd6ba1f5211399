/* Whole numbers of 8 bits, held by floats: the nearest to x, half to even, within whole bounds. */
INLINE float round_to(float x, float low, float high)
{
    const float above = x > low ? x : low;
    return rintf(above < high ? above : high);
}

/* x / scale. Where a product and a sum are rounded once, 1 / scale in two parts does: the nearest whole number is the
   same for every x, which was checked when this file was written. */
INLINE float divide(float x, float scale, float inverse, float rest)
{
#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    (void)scale;
    return fmaf(x, inverse, x * rest);
#else
    (void)inverse, (void)rest;
    return x / scale;
#endif
}

INLINE void quantise(const float *x, float *y, int n, float scale, float inverse, float rest, float low, float high)
{
    for (int i = 0; i < n; i++)
        y[i] = round_to(divide(x[i], scale, inverse, rest), low, high);
}

/* The same of a vector: a sum with 1.5 * 2^23 has no place for what is behind the point. */
INLINE vec round_all(vec x, float low, float high)
{
    const vec zero = {0};
    const float large = 12582912;
    return smaller(larger(x, zero + low), zero + high) + large - large;
}

/* The same out of sums, each channel of n by a factor of its own. */
INLINE void requantise(float *y, const float *factors, int n_channels, int n, float low, float high)
{
    for (int c = 0; c < n_channels; c++, y += n) {
        const float factor = factors[c];
        int i = 0;
        for (; LANES > 1 && i + LANES <= n; i += LANES)
            store(y + i, round_all(load(y + i) * factor, low, high));
        for (; i < n; i++)
            y[i] = round_to(y[i] * factor, low, high);
    }
}

/* The same out of n sums, each by a factor of its own. */
INLINE void requantise_each(float *y, const float *factors, int n, float low, float high)
{
    for (int i = 0; i < n; i++)
        y[i] = round_to(y[i] * factors[i], low, high);
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

/* Bytes that are whole numbers, and zero more; zeros from n on. */
INLINE void pack_bytes(const float *x, void *bytes, int n, int n_wide, int zero)
{
    uint8_t *to = bytes;
    for (int i = 0; i < n; i++)
        to[i] = (uint8_t)((int)x[i] + zero);
    for (int i = n; i < n_wide; i++)
        to[i] = 0;
}

/* The same out of numbers. */
INLINE void quantise_bytes(const float *x, void *bytes, int n, int n_wide, float scale, float inverse, float rest,
                           int zero)
{
    uint8_t *to = bytes;
    const float low = (float)-zero, high = (float)(255 - zero);
    int i = 0;
#if PRODUCTS
    for (; i + 64 <= n; i += 64) {
        const __m512i groups = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        __m512i steps[4];
        for (int v = 0; v < 4; v++) {
            const __m512 from = _mm512_loadu_ps(x + i + 16 * v);
            const __m512 product = _mm512_mul_ps(from, _mm512_set1_ps(rest));
            const __m512 ratio = _mm512_fmadd_ps(from, _mm512_set1_ps(inverse), product);
            steps[v] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(high), ratio));
        }
        /* to 16 bits, then 8, which cut what is below 0; both leave groups of 4 in another order */
        const __m512i first = _mm512_add_epi16(_mm512_packs_epi32(steps[0], steps[1]), _mm512_set1_epi16(zero));
        const __m512i second = _mm512_add_epi16(_mm512_packs_epi32(steps[2], steps[3]), _mm512_set1_epi16(zero));
        _mm512_storeu_si512(to + i, _mm512_permutexvar_epi32(groups, _mm512_packus_epi16(first, second)));
    }
#endif
    for (; i < n; i++)
        to[i] = (uint8_t)((int)round_to(divide(x[i], scale, inverse, rest), low, high) + zero);
    for (; i < n_wide; i++)
        to[i] = 0;
}

/* The same out of n sums, a multiple of 16, each by a factor of its own. */
INLINE void requantise_bytes(const float *y, const float *factors, void *bytes, int n, int zero)
{
    uint8_t *to = bytes;
    const float low = (float)-zero, high = (float)(255 - zero);
#if PRODUCTS
    for (int i = 0; i < n; i += 16) {
        const __m512 product = _mm512_mul_ps(_mm512_loadu_ps(y + i), _mm512_loadu_ps(factors + i));
        const __m512 within = _mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(product, _mm512_set1_ps(low)));
        const __m512i steps = _mm512_add_epi32(_mm512_cvtps_epi32(within), _mm512_set1_epi32(zero));
        _mm_storeu_si128((__m128i *)(to + i), _mm512_cvtepi32_epi8(steps));
    }
#else
    for (int i = 0; i < n; i++)
        to[i] = (uint8_t)((int)round_to(y[i] * factors[i], low, high) + zero);
#endif
}

/* Adds products of 16 bytes to 16 sums of four parts each. */
INLINE void add_products(ints *sums, const uint8_t *x, const int8_t *w)
{
#if PRODUCTS
    const __m512i read = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)x));
    for (int i = 0; i < 4; i++)
        sums[i] = (ints)_mm512_dpbusd_epi32((__m512i)sums[i], read, _mm512_loadu_si512(w + 64 * i));
#else
    for (int i = 0; i < 64; i += LANES) {
        ints four = {0};
        uints read, weights;
        for (int j = 0; j < LANES; j += 4)
            memcpy((uint8_t *)&read + 4 * j, x + 4 * (i % 4), LANES < 4 ? 4 : 16);
        memcpy(&weights, w + 4 * i, sizeof weights);
        for (int shift = 0; shift < 32; shift += 8)
            four += (ints)(read >> shift & 255) * ((ints)(weights << (24 - shift)) >> 24);
        sums[i / LANES] += four;
    }
#endif
}

/* 16 sums as floats; the parts are those of output 0, then of 4, 8, 12, 1, 5 and so on. */
INLINE void join_parts(const ints *sums, const int *b, float *y)
{
#if PRODUCTS
    __m512i two[2];
    for (int i = 0; i < 2; i++) {
        const __m512i first = (__m512i)sums[2 * i], second = (__m512i)sums[2 * i + 1];
        two[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(first, second), _mm512_unpackhi_epi32(first, second));
    }
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(two[0], two[1]), _mm512_unpackhi_epi64(two[0], two[1]));
    _mm512_storeu_ps(y, _mm512_cvtepi32_ps(_mm512_add_epi32(all, _mm512_loadu_si512(b))));
#else
    int parts[64], made[16];
    memcpy(parts, sums, sizeof parts);
    for (int i = 0; i < 16; i++)
        made[i] = parts[4 * i] + parts[4 * i + 1] + parts[4 * i + 2] + parts[4 * i + 3];
    for (int o = 0; o < 16; o++)
        y[o] = (float)(b[o] + made[o % 4 * 4 + o / 4]);
#endif
}

/* 16 * n_blocks sums b + w x: n_chains times 16 inputs at a time, each added to sums of its own. */
INLINE void dense_blocks(const uint8_t *x, const int8_t *w, const int *b, float *y, int n_in, int n_blocks, int n_chains)
{
    const int n_whole = n_in - n_in % (16 * n_chains), n = 64 / LANES;
    const ints zero = {0};
    ints sums[2 * 64 / LANES];
    for (int i = 0; i < n * n_blocks * n_chains; i++)
        sums[i] = zero;
    for (int k = 0; k < n_whole; k += 16 * n_chains)
        for (int c = 0; c < n_chains; c++)
            for (int o = 0; o < n_blocks; o++)
                add_products(sums + n * (c + o), x + k + 16 * c, w + 16 * (k + 16 * c + o * n_in));
    for (int k = n_whole; k < n_in; k += 16)
        add_products(sums, x + k, w + 16 * k);
    for (int i = 0; i < n * (n_chains - 1); i++)
        sums[i] += sums[n + i];
    for (int o = 0; o < n_blocks; o++)
        join_parts(sums + n * o, b + 16 * o, y + 16 * o);
}

/* y = b + w x in 32 bits, with x as bytes from 0 on, for which b makes up. w has 16 inputs of 16 outputs, in the order
   0, 4, 8, 12, 1, 5 and so on, then the next 16 inputs; n_in and n_out are multiples of 16. */
INLINE void dense_bytes(const void *bytes, const int8_t *w, const int *b, float *y, int n_in, int n_out)
{
    const uint8_t *x = bytes;
    int o = 0;
    for (; PRODUCTS && o + 32 <= n_out; o += 32)
        dense_blocks(x, w + o * n_in, b + o, y + o, n_in, 2, 1);
    for (; o < n_out; o += 16)
        dense_blocks(x, w + o * n_in, b + o, y + o, n_in, 1, PRODUCTS + 1);
}
