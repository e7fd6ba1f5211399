INLINE vec load(const float *at) { return *(const vec_at *)at; }

INLINE void store(float *at, vec v) { *(vec_at *)at = v; }

/* The larger of every two numbers of two vectors. */
INLINE vec larger(vec a, vec b)
{
#if LANES > 1
    const ints is_first = a > b;
    return (vec)((is_first & (ints)a) | (~is_first & (ints)b));
#else
    return a > b ? a : b;
#endif
}

/* The smaller of every two numbers of two vectors. */
INLINE vec smaller(vec a, vec b)
{
#if LANES > 1
    const ints is_first = a < b;
    return (vec)((is_first & (ints)a) | (~is_first & (ints)b));
#else
    return a < b ? a : b;
#endif
}
