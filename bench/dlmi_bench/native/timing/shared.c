/* LANES * n_vectors columns of y = b + x w for SHARED examples: what is read of w is used for all of them. n_chains rows
   of w at a time are added to sums of their own, so that enough sums wait for none. */
INLINE void shared_columns(const float *x, int x_stride, const float *w, const float *b, float *y, int y_stride,
                           int n_in, int n_out, int n_vectors, int n_chains)
{
    const vec zero = {0};
    const int n_whole = n_in - n_in % n_chains, n_sums = SHARED * n_vectors;
    vec sums[SHARED * 2];
    for (int c = 0; c < n_chains; c++)
        for (int e = 0; e < SHARED; e++)
            for (int v = 0; v < n_vectors; v++)
                sums[c * n_sums + e * n_vectors + v] = c ? zero : load(b + v * LANES);
    for (int k = 0; k < n_whole; k += n_chains)
        for (int c = 0; c < n_chains; c++)
            for (int v = 0; v < n_vectors; v++) {
                const vec read = load(w + (k + c) * n_out + v * LANES);
                for (int e = 0; e < SHARED; e++)
                    sums[c * n_sums + e * n_vectors + v] += x[e * x_stride + k + c] * read;
            }
    for (int k = n_whole; k < n_in; k++)
        for (int v = 0; v < n_vectors; v++)
            for (int e = 0; e < SHARED; e++)
                sums[e * n_vectors + v] += x[e * x_stride + k] * load(w + k * n_out + v * LANES);
    for (int c = 1; c < n_chains; c++)
        for (int i = 0; i < n_sums; i++)
            sums[i] += sums[c * n_sums + i];
    for (int e = 0; e < SHARED; e++)
        for (int v = 0; v < n_vectors; v++)
            store(y + e * y_stride + v * LANES, sums[e * n_vectors + v]);
}

/* y = b + x w for SHARED examples, whose numbers begin x_stride and y_stride apart. n_out is a multiple of 16. */
INLINE void shared_dense(const float *x, int x_stride, const float *w, const float *b, float *y, int y_stride,
                         int n_in, int n_out)
{
    int j = 0;
    for (; j + 2 * LANES <= n_out; j += 2 * LANES)
        shared_columns(x, x_stride, w + j, b + j, y + j, y_stride, n_in, n_out, 2, 1);
    for (; j < n_out; j += LANES)
        shared_columns(x, x_stride, w + j, b + j, y + j, y_stride, n_in, n_out, 1, 2);
}
