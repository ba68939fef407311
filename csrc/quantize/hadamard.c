/* The 16-point Hadamard transform: four stages, one rounding per addition, a vector of a group at a time. */
#include "fpenv.h"
#include "tier.h"
#include "vec.h"

enum { PARTS = 16 / VL };

/* lanes whose numbers differ in the bit `distance` change places */
static inline __attribute__((always_inline)) vf exchange(vf v, int distance)
{
#if VL == 16
    __m512 x = (__m512)v;
    return distance == 1   ? (vf)_mm512_permute_ps(x, 0xb1)
           : distance == 2 ? (vf)_mm512_permute_ps(x, 0x4e)
           : distance == 4 ? (vf)_mm512_shuffle_f32x4(x, x, 0xb1)
                           : (vf)_mm512_shuffle_f32x4(x, x, 0x4e);
#elif VL == 8
    __m256 x = (__m256)v;
    return distance == 1   ? (vf)_mm256_permute_ps(x, 0xb1)
           : distance == 2 ? (vf)_mm256_permute_ps(x, 0x4e)
                           : (vf)_mm256_permute2f128_ps(x, x, 0x01);
#else
    return distance == 1 ? (vf){v[1], v[0], v[3], v[2]} : (vf){v[2], v[3], v[0], v[1]};
#endif
}

/* the sum where the number of the lane lacks the bit, the difference where it has it */
static inline __attribute__((always_inline)) void stage(vf *y, int distance)
{
    vf out[PARTS];
    for (int k = 0; k < PARTS; k++) {
        if (distance >= VL) {
            const int other = k ^ (distance / VL);
            out[k] = other < k ? y[other] - y[k] : y[k] + y[other];
            continue;
        }
        vf partner = exchange(y[k], distance);
        vu upper = {0};
        for (int i = 0; i < VL; i++) upper[i] = i & distance ? ~0u : 0;
        out[k] = (vf)(((vu)(partner - y[k]) & upper) | ((vu)(y[k] + partner) & ~upper));
    }
    memcpy(y, out, sizeof out);
}

void CM_NAME(cm_hadamard_f32)(const float *x, float *y, size_t groups, uint32_t signs, int inverse)
{
    cm_fpenv saved = cm_fpenv_enter();
    vu before[PARTS] = {{0}}, after[PARTS] = {{0}};
    for (int i = 0; i < 16; i++) {
        const uint32_t sign = (signs >> i & 1) << 31;
        before[i / VL][i % VL] = inverse ? 0 : sign;
        after[i / VL][i % VL] = inverse ? sign : 0;
    }
    for (size_t g = 0; g < groups; g++, x += 16, y += 16) {
        vf v[PARTS];
        for (int k = 0; k < PARTS; k++) v[k] = (vf)((vu)vf_load(x + k * VL) ^ before[k]);
        stage(v, 1);
        stage(v, 2);
        stage(v, 4);
        stage(v, 8);
        for (int k = 0; k < PARTS; k++) {
            vf scaled = (vf)((vu)(v[k] * 0.25f) ^ after[k]);
            vu number = (vu)(scaled == scaled);
            vf_store(y + k * VL, (vf)(((vu)scaled & number) | (0x7fc00000u & ~number)));
        }
    }
    cm_fpenv_leave(saved);
}
