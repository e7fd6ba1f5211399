#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && LANES == 16
#define PRODUCTS 1 /* four products of bytes are added to a sum of 32 bits at once */
#include <immintrin.h>
#else
#define PRODUCTS 0
#endif
