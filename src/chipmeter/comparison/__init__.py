"""Error beside cost: the one place, with the reports, that reads both sides."""

from chipmeter.comparison.error import NumericError
from chipmeter.comparison.linear import EmulatedLinear
from chipmeter.comparison.rows import DEFAULT_CHIPS, DEFAULT_FORMATS, Comparison, Row, compare

__all__ = ["DEFAULT_CHIPS", "DEFAULT_FORMATS", "Comparison", "EmulatedLinear", "NumericError", "Row", "compare"]
