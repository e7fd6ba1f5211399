/* Whole numbers of n_bits out of words: field f of word i is number f * n_words + i, less the smallest. */
INLINE void unpack(const uint32_t *words, void *numbers, int n_words, int n_bits)
{
    int8_t *to = numbers;
    const uint32_t mask = (1u << n_bits) - 1;
    const int smallest = (1 << (n_bits - 1)) - 1;
    for (int f = 0; f < 32 / n_bits; f++)
        for (int i = 0; i < n_words; i++)
            to[f * n_words + i] = (int8_t)((int)(words[i] >> (f * n_bits) & mask) - smallest);
}

/* Whole numbers (n_rows, n_out), each times the scale of its column, in rows of n_wide. */
INLINE void scale_columns(const void *restrict numbers, const float *scales, float *restrict w, int n_rows, int n_out,
                          int n_wide)
{
    const int8_t *from = numbers;
    for (int i = 0; i < n_rows; i++) {
        for (int o = 0; o < n_out; o++)
            w[i * n_wide + o] = scales[o] * from[i * n_out + o];
        for (int o = n_out; o < n_wide; o++)
            w[i * n_wide + o] = 0;
    }
}

/* The same for matrices of 4 columns, and one of what is over, in each group. */
INLINE void scale_blocks(const void *numbers, const float *scales, float *w, int n_groups, int n_out, int n_rows)
{
    const int8_t *from = numbers;
    const int over = n_out % 4;
    for (int g = 0; g < n_groups; g++) {
        for (int o = 0; o + 4 <= n_out; o += 4, from += 4 * n_rows, w += 4 * n_rows, scales += 4)
            scale_columns(from, scales, w, n_rows, 4, 4);
        scale_columns(from, scales, w, n_rows, over, over);
        from += over * n_rows;
        w += over * n_rows;
        scales += over;
    }
}
