INLINE void relu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

INLINE void leaky_relu(const float *x, float *y, int n, float slope)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] < 0 ? slope * x[i] : x[i];
}

INLINE void clip(const float *x, float *y, int n, float low, float high)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

/* tanh to 3e-7 of itself, without a branch: Lambert's continued fraction for the half, then its double. */
INLINE float tangent_of(float x)
{
    const float most = 9.1f; /* from here on it is 1 in float */
    const float half = 0.5f * (x < -most ? -most : x > most ? most : x);
    const float q = half * half;
    const float t = half * (135135 + q * (17325 + q * (378 + q))) / (135135 + q * (62370 + q * (3150 + q * 28)));
    return 2 * t / (1 + t * t);
}

INLINE void tangent(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = tangent_of(x[i]);
}

INLINE void sigmoid(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = 0.5f + 0.5f * tangent_of(0.5f * x[i]);
}

INLINE void shift(const float *x, float *y, int n, float term)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] + term;
}

INLINE void scale(const float *x, float *y, int n, float factor)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * factor;
}

INLINE void add(const float *x, const float *other, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] + other[i];
}

INLINE void subtract(const float *x, const float *other, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] - other[i];
}

INLINE void multiply(const float *x, const float *other, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * other[i];
}

INLINE void add_constant(const float *x, const float *terms, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] + terms[i];
}

INLINE void multiply_constant(const float *x, const float *factors, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * factors[i];
}

INLINE void normalise(const float *x, const float *factors, const float *terms, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * factors[i] + terms[i];
}

INLINE void logarithm(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = logf(x[i]);
}
