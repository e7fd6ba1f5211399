/* Vectors of the widest kind that this machine has; plain numbers for other compilers, or with -DNET_PLAIN. */
#if (defined(__clang__) || __GNUC__ >= 9) && !defined(NET_PLAIN)
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define INLINE static inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float vec_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* at any address */
typedef int ints __attribute__((vector_size(4 * LANES)));
typedef unsigned uints __attribute__((vector_size(4 * LANES)));
#else
#define LANES 1
#define INLINE static inline
#define ALIGNED
typedef float vec;
typedef float vec_at;
typedef int ints;
typedef unsigned uints;
#endif
#define CHAINS 8 /* sums that do not wait for each other */
#if defined(__AVX512F__) || defined(__aarch64__)
#define BLOCK 16 /* sums of a convolution: half of the registers */
#else
#define BLOCK CHAINS
#endif
