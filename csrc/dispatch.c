/* Which tiers exist in this build and can run on this CPU. Compiled once, with baseline flags. */
#include "chipmeter/kernels.h"

#define CM_DECLARE(tier)                                                                                             \
    extern const cm_kernels cm_kernels_##tier;

#ifdef CHIPMETER_HAVE_X86_64_V4_VNNI
CM_DECLARE(x86_64_v4_vnni)
#endif
#ifdef CHIPMETER_HAVE_X86_64_V4
CM_DECLARE(x86_64_v4)
#endif
#ifdef CHIPMETER_HAVE_X86_64_V3
CM_DECLARE(x86_64_v3)
#endif
#ifdef CHIPMETER_HAVE_X86_64_V2
CM_DECLARE(x86_64_v2)
#endif
#ifdef CHIPMETER_HAVE_AARCH64_NEON
CM_DECLARE(aarch64_neon)
#endif
#ifdef CHIPMETER_HAVE_GENERIC
CM_DECLARE(generic)
#endif

enum { MOST_TIERS = 4 };

/* Feature by feature: not every compiler answers for "x86-64-v4" as a whole. */
static size_t list_tiers(const cm_kernels *found[MOST_TIERS])
{
    size_t n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt");
    int v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
             && __builtin_cpu_supports("bmi2");
    int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
             && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
             && __builtin_cpu_supports("avx512vl");
    int vnni = v4 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi")
               && __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vpopcntdq")
               && __builtin_cpu_supports("avx512bitalg");
#ifdef CHIPMETER_HAVE_X86_64_V4_VNNI
    if (vnni) found[n++] = &cm_kernels_x86_64_v4_vnni;
#endif
#ifdef CHIPMETER_HAVE_X86_64_V4
    if (v4) found[n++] = &cm_kernels_x86_64_v4;
#endif
#ifdef CHIPMETER_HAVE_X86_64_V3
    if (v3) found[n++] = &cm_kernels_x86_64_v3;
#endif
#ifdef CHIPMETER_HAVE_X86_64_V2
    if (v2) found[n++] = &cm_kernels_x86_64_v2;
#endif
    (void)v4, (void)vnni;
#endif
#ifdef CHIPMETER_HAVE_AARCH64_NEON
    found[n++] = &cm_kernels_aarch64_neon;
#endif
#ifdef CHIPMETER_HAVE_GENERIC
    found[n++] = &cm_kernels_generic;
#endif
    return n;
}

size_t cm_tier_count(void)
{
    const cm_kernels *found[MOST_TIERS];
    return list_tiers(found);
}

const cm_kernels *cm_tier(size_t index)
{
    const cm_kernels *found[MOST_TIERS];
    return index < list_tiers(found) ? found[index] : NULL;
}

const char *cm_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}
