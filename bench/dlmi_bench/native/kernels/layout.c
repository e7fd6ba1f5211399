/* Channels of h rows of w into channels of height rows of width, from (top, left) on; value around them. */
INLINE void pad(const float *x, float *y, int c, int h, int w, int row, int plane, int top, int left, int height,
                int width, float value)
{
    for (int i = 0; i < c * height * width; i++)
        y[i] = value;
    for (int k = 0; k < c; k++)
        for (int i = 0; i < h; i++)
            memcpy(y + (k * height + i + top) * width + left, x + k * plane + i * row, (size_t)w * sizeof *x);
}

/* The same, in sy * sx planes a channel: one for each remainder of the coordinates by the strides (sy, sx). */
INLINE void spread(const float *x, float *y, int c, int h, int w, int row, int plane, int top, int left, int height,
                   int width, int sy, int sx)
{
    for (int i = 0; i < c * sy * sx * height * width; i++)
        y[i] = 0;
    for (int k = 0; k < c; k++)
        for (int i = 0; i < h; i++)
            for (int r = 0; r < sx; r++) {
                const int first = (r + sx - left % sx) % sx; /* the first column with this remainder */
                const int at = ((k * sy + (i + top) % sy) * sx + r) * height * width + (i + top) / sy * width;
                for (int j = first; j < w; j += sx)
                    y[at + (j + left) / sx] = x[k * plane + i * row + j];
            }
}

/* Rows and channels without the gaps between them. */
INLINE void crop(const float *x, float *y, int c, int h, int w, int row, int plane)
{
    for (int k = 0; k < c; k++)
        for (int i = 0; i < h; i++)
            memcpy(y + (k * h + i) * w, x + k * plane + i * row, (size_t)w * sizeof *x);
}

INLINE void copy(const float *x, float *y, int n) { memcpy(y, x, (size_t)n * sizeof *x); }
