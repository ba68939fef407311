"""For other people's tests: equality by bits, the bits of a unit, and the share of a chip's roofline.

The pytest plugin of the same name is loaded by pytest itself once chipmeter is installed; it brings the fixture
`roofline` and the summary of the fractions that tests achieved.
"""

from chipmeter.testing.bits import assert_bits_equal, assert_matches_unit
from chipmeter.testing.bound import Roofline, bound

__all__ = ["Roofline", "assert_bits_equal", "assert_matches_unit", "bound"]
