/* The floating-point environment of a kernel: round to nearest even, subnormals kept, no traps.
 *
 * Other libraries leave flush-to-zero on (any object linked with -ffast-math does). The register belongs to the
 * thread, so each kernel saves, sets and restores it. The arithmetic must sit in a function of its own that is not
 * inlined: compilers do not model the dependence between writing the register and floating-point operations. */
#ifndef CHIPMETER_FPENV_H
#define CHIPMETER_FPENV_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int cm_fpenv;
static inline cm_fpenv cm_fpenv_enter(void)
{
    cm_fpenv saved = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return saved;
}
static inline cm_fpenv cm_fpenv_enter_downward(void)
{
    cm_fpenv saved = _mm_getcsr();
    _mm_setcsr(0x3f80);
    return saved;
}
static inline cm_fpenv cm_fpenv_enter_toward_zero(void)
{
    cm_fpenv saved = _mm_getcsr();
    _mm_setcsr(0x7f80);
    return saved;
}
static inline void cm_fpenv_leave(cm_fpenv saved) { _mm_setcsr(saved); }
#elif defined(__aarch64__)
typedef uint64_t cm_fpenv;
static inline cm_fpenv cm_fpenv_enter(void)
{
    cm_fpenv saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return saved;
}
static inline cm_fpenv cm_fpenv_enter_downward(void)
{
    cm_fpenv saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)2 << 22));
    return saved;
}
static inline cm_fpenv cm_fpenv_enter_toward_zero(void)
{
    cm_fpenv saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)3 << 22));
    return saved;
}
static inline void cm_fpenv_leave(cm_fpenv saved) { __asm__ volatile("msr fpcr, %0" : : "r"(saved)); }
#else
#include <fenv.h>
typedef fenv_t cm_fpenv;
static inline cm_fpenv cm_fpenv_enter(void)
{
    fenv_t saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV);
    return saved;
}
static inline cm_fpenv cm_fpenv_enter_downward(void)
{
    fenv_t saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV);
    fesetround(FE_DOWNWARD);
    return saved;
}
static inline cm_fpenv cm_fpenv_enter_toward_zero(void)
{
    fenv_t saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV);
    fesetround(FE_TOWARDZERO);
    return saved;
}
static inline void cm_fpenv_leave(cm_fpenv saved) { fesetenv(&saved); }
#endif

#define CM_NOINLINE __attribute__((noinline))

#endif
