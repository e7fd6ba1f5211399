/* LANES * n_vectors positions of n_out channels: what is read at a tap is used for all of them. Weights are those of 4
   channels at a time, each n_in * n_taps rows of 4. */
INLINE void conv_block(const float *x, const int *taps, const float *w, const float *b, float *y, int n_in, int channel,
                       int n_taps, int plane, int n_out, int n_vectors)
{
    const vec zero = {0};
    const int n_wide = n_out < 4 ? n_out : 4, n_weights = n_in * n_taps;
    vec sums[BLOCK];
    for (int o = 0; o < n_out; o++)
        for (int v = 0; v < n_vectors; v++)
            sums[o * n_vectors + v] = zero + b[o];
    for (int c = 0; c < n_in; c++, x += channel)
        for (int t = 0; t < n_taps; t++, w += n_wide) {
            vec read[BLOCK];
            for (int v = 0; v < n_vectors; v++)
                read[v] = load(x + taps[t] + v * LANES);
            for (int o = 0; o < n_out; o++)
                for (int v = 0; v < n_vectors; v++)
                    sums[o * n_vectors + v] += w[o / 4 * 4 * n_weights + o % 4] * read[v];
        }
    for (int o = 0; o < n_out; o++)
        for (int v = 0; v < n_vectors; v++)
            store(y + o * plane + v * LANES, sums[o * n_vectors + v]);
}

/* All positions of n_out channels, at most 8; the last vector may end behind them. */
INLINE void conv_channels(const float *x, const int *taps, const float *w, const float *b, float *y, int n_in,
                          int channel, int n_taps, int n_positions, int plane, int n_out)
{
    const int n_vectors = BLOCK / n_out < 4 ? BLOCK / n_out : 4;
    int p = 0;
    for (; p + (n_vectors - 1) * LANES < n_positions; p += n_vectors * LANES)
        conv_block(x + p, taps, w, b, y + p, n_in, channel, n_taps, plane, n_out, n_vectors);
    for (; p + LANES < n_positions; p += 2 * LANES)
        conv_block(x + p, taps, w, b, y + p, n_in, channel, n_taps, plane, n_out, 2);
    for (; p < n_positions; p += LANES)
        conv_block(x + p, taps, w, b, y + p, n_in, channel, n_taps, plane, n_out, 1);
}

/* y[o][p] = b[o] + the sum over channels c and taps t of w[o][c][t] * x[c][taps[t] + p], for each group of channels. */
INLINE void conv(const float *x, const int *taps, const float *w, const float *b, float *y, int n_groups, int n_out,
                 int n_in, int channel, int n_taps, int n_positions, int plane)
{
    const int n_weights = n_in * n_taps;
    for (int g = 0; g < n_groups; g++, x += n_in * channel) {
        int o = 0;
        for (; BLOCK >= 16 && o + 8 <= n_out; o += 8, w += 8 * n_weights, b += 8, y += 8 * plane)
            conv_channels(x, taps, w, b, y, n_in, channel, n_taps, n_positions, plane, 8);
        for (; o + 4 <= n_out; o += 4, w += 4 * n_weights, b += 4, y += 4 * plane)
            conv_channels(x, taps, w, b, y, n_in, channel, n_taps, n_positions, plane, 4);
        if (n_out % 4 == 3)
            conv_channels(x, taps, w, b, y, n_in, channel, n_taps, n_positions, plane, 3);
        if (n_out % 4 == 2)
            conv_channels(x, taps, w, b, y, n_in, channel, n_taps, n_positions, plane, 2);
        if (n_out % 4 == 1)
            conv_channels(x, taps, w, b, y, n_in, channel, n_taps, n_positions, plane, 1);
        w += n_out % 4 * n_weights;
        b += n_out % 4;
        y += n_out % 4 * plane;
    }
}

/* The same at a few positions, for many channels: what is read there is one row, for w (n_in * n_taps, n_wide). */
INLINE void conv_points(const float *x, const int *taps, const float *w, const float *b, float *y, float *row_of_taps,
                        int n_out, int n_wide, int n_in, int channel, int n_taps, int height, int width, int row)
{
    float *sums = row_of_taps + n_in * n_taps;
    for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++) {
            for (int c = 0; c < n_in; c++)
                for (int t = 0; t < n_taps; t++)
                    row_of_taps[c * n_taps + t] = x[c * channel + taps[t] + i * row + j];
            dense(row_of_taps, w, b, sums, n_in * n_taps, n_wide);
            for (int o = 0; o < n_out; o++)
                y[(o * height + i) * width + j] = sums[o];
        }
}
