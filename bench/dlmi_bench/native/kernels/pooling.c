/* The largest number of every window of kh x kw; all windows lie inside. */
INLINE void max_pool_inside(const float *x, float *y, int c, int row, int plane, int height, int width, int kh, int kw,
                    int sy, int sx)
{
    for (int k = 0; k < c; k++)
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++) {
                const float *at = x + k * plane + i * sy * row + j * sx;
                float largest = *at;
                for (int u = 0; u < kh; u++)
                    for (int v = 0; v < kw; v++)
                        largest = at[u * row + v] > largest ? at[u * row + v] : largest;
                y[(k * height + i) * width + j] = largest;
            }
}

/* The largest of every 2 x 2 numbers; all lie inside. A vector may end behind its row, where the next is written. */
INLINE void max_pool_pairs(const float *x, float *y, int c, int row, int plane, int height, int width)
{
    for (int k = 0; k < c; k++)
        for (int i = 0; i < height; i++, y += width) {
            const float *at = x + k * plane + 2 * i * row;
#if LANES > 1
            typedef unsigned long long pairs __attribute__((vector_size(4 * LANES)));
            typedef unsigned half __attribute__((vector_size(2 * LANES)));
            for (int j = 0; j < width; j += LANES / 2) {
                const vec two = larger(load(at + 2 * j), load(at + row + 2 * j)); /* above each other */
                const vec four = larger(two, (vec)((pairs)two >> 32)); /* beside each other */
                const half made = __builtin_convertvector((pairs)four, half);
                memcpy(y + j, &made, sizeof made);
            }
#else
            for (int j = 0; j < width; j++, at += 2)
                y[j] = larger(larger(at[0], at[row]), larger(at[1], at[row + 1]));
#endif
        }
}

/* The largest number of every window of kh x kw; what lies outside takes no part. */
INLINE void max_pool(const float *x, float *y, int c, int h, int w, int row, int plane, int height, int width, int kh,
                     int kw, int sy, int sx, int top, int left)
{
    for (int k = 0; k < c; k++)
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++) {
                const int y0 = i * sy - top, x0 = j * sx - left;
                float largest = 0;
                int n = 0;
                for (int u = y0 < 0 ? 0 : y0; u < y0 + kh && u < h; u++)
                    for (int v = x0 < 0 ? 0 : x0; v < x0 + kw && v < w; v++, n++) {
                        const float it = x[k * plane + u * row + v];
                        largest = n && largest > it ? largest : it;
                    }
                y[(k * height + i) * width + j] = largest;
            }
}

/* The mean of every window of kh x kw; all windows lie inside. */
INLINE void average_pool_inside(const float *x, float *y, int c, int row, int plane, int height, int width, int kh,
                                int kw, int sy, int sx)
{
    for (int k = 0; k < c; k++)
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++) {
                const float *at = x + k * plane + i * sy * row + j * sx;
                float sum = 0;
                for (int u = 0; u < kh; u++)
                    for (int v = 0; v < kw; v++)
                        sum += at[u * row + v];
                y[(k * height + i) * width + j] = sum / (float)(kh * kw);
            }
}

/* The mean of every window of kh x kw; what lies outside counts as 0 if is_padded, else it takes no part. */
INLINE void average_pool(const float *x, float *y, int c, int h, int w, int row, int plane, int height, int width, int kh,
                         int kw, int sy, int sx, int top, int left, int is_padded)
{
    for (int k = 0; k < c; k++)
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++) {
                const int y0 = i * sy - top, x0 = j * sx - left;
                float sum = 0;
                int n = 0;
                for (int u = y0 < 0 ? 0 : y0; u < y0 + kh && u < h; u++)
                    for (int v = x0 < 0 ? 0 : x0; v < x0 + kw && v < w; v++, n++)
                        sum += x[k * plane + u * row + v];
                n = is_padded ? kh * kw : n;
                y[(k * height + i) * width + j] = n ? sum / (float)n : 0;
            }
}

/* The mean of each channel. */
INLINE void channel_means(const float *x, float *y, int c, int h, int w, int row, int plane)
{
    for (int k = 0; k < c; k++) {
        float sum = 0;
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++)
                sum += x[k * plane + i * row + j];
        y[k] = sum / (float)(h * w);
    }
}

/* The mean of n_rows rows of n. */
INLINE void stack_means(const float *x, float *y, int n_rows, int n)
{
    for (int i = 0; i < n; i++) {
        float sum = 0;
        for (int r = 0; r < n_rows; r++)
            sum += x[r * n + i];
        y[i] = sum / (float)n_rows;
    }
}
