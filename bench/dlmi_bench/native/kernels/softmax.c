INLINE void softmax(const float *x, float *y, int n)
{
    float largest = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int i = 0; i < n; i++)
        sum += y[i] = expf(x[i] - largest);
    for (int i = 0; i < n; i++)
        y[i] /= sum;
}

INLINE void log_softmax(const float *x, float *y, int n)
{
    float largest = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int i = 0; i < n; i++)
        sum += expf(x[i] - largest);
    for (int i = 0; i < n; i++)
        y[i] = x[i] - largest - logf(sum);
}
