/* Conversion of a step's exact sum, for the ways that hold it in binary64 where the everyday path ends. */
#ifndef CHIPMETER_MATMUL_FUSED_OUTPUT_H
#define CHIPMETER_MATMUL_FUSED_OUTPUT_H

#include "matmul/fused_codes.h"

/* the exact sum of a step in the output type, wherever it lies */
INLINE vd wide_output(vd s, int32_t output)
{
    vl bits = (vl)s, sign = bits & (INT64_MAX + 1ull), magnitude = bits & INT64_MAX, nan = (vl)(s != s);
    vd size = (vd)magnitude;
    if (output == CM_RNE_F16) { /* round to odd in 24 bits: a second rounding to fewer bits then sees what was lost */
        vl odd = ((magnitude & 0x1fffffff) + 0x1fffffff) & 0x20000000;
        vl kept = ((magnitude | odd) & ~0x1fffffffll) & (vl)(size >= 0x1p-60);
        vl over = (vl)(size > 0x1p20);
        return (vd)(sign | ((vl)vd_broadcast(0x1p20) & over) | (kept & ~over & ~nan) | (bits & nan));
    }
    const int64_t dropped = output == CM_RZ_E8M13 ? (1ll << 39) - 1 : (1ll << 29) - 1;
    const double least = output == CM_RZ_E8M13 ? 0x1p139 : 0x1p149;
    vd scaled = size * least, whole;
    for (int l = 0; l < VL / 2; l++) whole[l] = __builtin_trunc(scaled[l]);
    vl tiny = (vl)(size < 0x1p-126), over = (vl)(size >= 0x1p128);
    vl result = ((vl)(whole / least) & tiny) | ((magnitude & ~dropped) & ~tiny);
    result = ((vl)vd_broadcast(__builtin_inf()) & over) | (result & ~over);
    vl nonzero = (vl)((vd)result != 0.0);
    return (vd)((bits & nan) | ((result | (sign & nonzero)) & ~nan));
}

#endif
