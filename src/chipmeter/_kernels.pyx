"""Thin doors from Python to the C kernels: re-check what memory safety needs, drop the GIL, call."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef int need(bint holds, str what) except -1:
    if not holds:
        raise ValueError(what)
    return 0


include "_doors/fpenv.pxi"
include "_doors/formats.pxi"
include "_doors/quantize.pxi"
include "_doors/dequantize.pxi"
include "_doors/measured.pxi"
include "_doors/matmul.pxi"
include "_doors/collectives.pxi"


cdef extern from "chipmeter/kernels.h" nogil:
    ctypedef struct cm_kernels:
        const char *tier
        const cm_format_kernels *formats
        const cm_quantize_kernels *quantize
        const cm_dequantize_kernels *dequantize
        const cm_matmul_kernels *matmul
        const cm_collective_kernels *collectives

    size_t cm_tier_count()
    const cm_kernels *cm_tier(size_t)
    const char *cm_compiler()


cdef const cm_kernels *active = NULL


cdef void activate(const cm_kernels *tier) noexcept:
    global active, active_formats, active_quantize, active_matmul, active_collectives, active_dequantize
    active = tier
    active_formats, active_quantize, active_matmul = tier.formats, tier.quantize, tier.matmul
    active_collectives, active_dequantize = tier.collectives, tier.dequantize


if cm_tier_count() == 0:
    raise ImportError("chipmeter's kernels need an x86-64-v2 CPU (SSE4.2) or newer; this CPU has none of the built tiers")
activate(cm_tier(0))


def tiers() -> tuple:
    return tuple([cm_tier(i).tier.decode() for i in range(cm_tier_count())])


def active_tier() -> str:
    return active.tier.decode()


def use_tier(str name not None) -> None:
    for i in range(cm_tier_count()):
        if cm_tier(i).tier.decode() == name:
            activate(cm_tier(i))
            return
    raise ValueError(f"unknown tier {name!r}; this build and CPU have: {', '.join(tiers())}")


def compiler() -> str:
    return cm_compiler().decode()
