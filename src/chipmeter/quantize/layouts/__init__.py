"""Packed storage and hardware layouts as exact index maps, each with its inverse.

The functions move bytes and never compute: `unpack_*(pack_*(x))` is x. Padding that a layout needs is zero.
"""

from chipmeter.quantize.layouts.bits import (
    pack_bits,
    pack_nibbles,
    pack_sixes,
    unpack_bits,
    unpack_nibbles,
    unpack_sixes,
)
from chipmeter.quantize.layouts.scales import (
    from_quadrants,
    pack_ue8m0,
    swizzle_128x4,
    swizzle_128x4_index,
    to_quadrants,
    unpack_ue8m0,
    unswizzle_128x4,
)
from chipmeter.quantize.layouts.trainium import from_groups, pack_x4, to_groups, unpack_x4

__all__ = [
    "from_groups",
    "from_quadrants",
    "pack_bits",
    "pack_nibbles",
    "pack_sixes",
    "pack_ue8m0",
    "pack_x4",
    "swizzle_128x4",
    "swizzle_128x4_index",
    "to_groups",
    "to_quadrants",
    "unpack_bits",
    "unpack_nibbles",
    "unpack_sixes",
    "unpack_ue8m0",
    "unpack_x4",
    "unswizzle_128x4",
]
