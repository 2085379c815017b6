/* seeded.h: uniforms from a seed of one's own, which leave R's generator alone. */
#ifndef MEANFIELD_SEEDED_H
#define MEANFIELD_SEEDED_H

#include <stdint.h>

/* splitmix64 [Steele, Lea & Flood 2014], uniform on [0, 1). */
static inline double seeded_uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double) ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

#endif
