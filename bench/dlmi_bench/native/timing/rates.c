#define SUMS 12 /* of products: enough to wait for none, few enough for 16 registers */

int count_lanes(void) { return LANES; }

/* Time [ns] of n_turns passes over the n numbers at x, a multiple of CHAINS * LANES. */
long long time_reading(const float *x, int n, int n_turns, float *out)
{
    const vec zero = {0};
    vec sums[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        sums[c] = zero;
    const long long start = now_ns();
    for (int turn = 0; turn < n_turns; turn++)
        for (int i = 0; i < n; i += CHAINS * LANES)
            for (int c = 0; c < CHAINS; c++)
                sums[c] += load(x + i + c * LANES);
    for (int c = 1; c < CHAINS; c++)
        sums[0] += sums[c];
    store(out, sums[0]);
    return now_ns() - start;
}

/* Time [ns] of n_turns times SUMS * LANES multiply-accumulates in registers; x[0] is 0.5, so that sums stay near 2. */
long long time_products(const float *x, int n_turns, float *out)
{
    const vec zero = {0}, half = zero + x[0], one = zero + x[1];
    vec sums[SUMS];
    for (int c = 0; c < SUMS; c++)
        sums[c] = zero + x[2];
    const long long start = now_ns();
    for (int turn = 0; turn < n_turns; turn++)
        for (int c = 0; c < SUMS; c++)
            sums[c] = sums[c] * half + one;
    for (int c = 1; c < SUMS; c++)
        sums[0] += sums[c];
    store(out, sums[0]);
    return now_ns() - start;
}
