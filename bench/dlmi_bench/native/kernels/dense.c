/* LANES * n_vectors columns of y = b + x w: n_chains rows of w at a time, each added to sums of its own. */
INLINE void dense_columns(const float *x, const float *w, const float *b, float *y, int n_in, int n_out,
                          int n_vectors, int n_chains)
{
    const vec zero = {0};
    const int n_whole = n_in - n_in % n_chains;
    vec sums[CHAINS];
    for (int c = 0; c < n_chains; c++)
        for (int v = 0; v < n_vectors; v++)
            sums[c * n_vectors + v] = c ? zero : load(b + v * LANES);
    for (int k = 0; k < n_whole; k += n_chains)
        for (int c = 0; c < n_chains; c++)
            for (int v = 0; v < n_vectors; v++)
                sums[c * n_vectors + v] += x[k + c] * load(w + (k + c) * n_out + v * LANES);
    for (int k = n_whole; k < n_in; k++)
        for (int v = 0; v < n_vectors; v++)
            sums[v] += x[k] * load(w + k * n_out + v * LANES);
    for (int c = 1; c < n_chains; c++)
        for (int v = 0; v < n_vectors; v++)
            sums[v] += sums[c * n_vectors + v];
    for (int v = 0; v < n_vectors; v++)
        store(y + v * LANES, sums[v]);
}

/* y = b + x w, with w (n_in, n_out). n_out is a multiple of 16. */
INLINE void dense(const float *x, const float *w, const float *b, float *y, int n_in, int n_out)
{
    int j = 0;
    for (; j + 4 * LANES <= n_out; j += 4 * LANES)
        dense_columns(x, w + j, b + j, y + j, n_in, n_out, 4, CHAINS / 4);
    for (; j + 2 * LANES <= n_out; j += 2 * LANES)
        dense_columns(x, w + j, b + j, y + j, n_in, n_out, 2, CHAINS / 2);
    for (; j < n_out; j += LANES)
        dense_columns(x, w + j, b + j, y + j, n_in, n_out, 1, CHAINS);
}
