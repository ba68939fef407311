"""Number formats: frozen records, the cast to them and the way back."""

from chipmeter.formats.codec import cast, code_dtype, decode
from chipmeter.formats.policies import Overflow, Rounding
from chipmeter.formats.records import FORMATS, FloatFormat, Format, IntegerFormat, TableFormat, format_of

__all__ = [
    "FORMATS",
    "FloatFormat",
    "Format",
    "IntegerFormat",
    "Overflow",
    "Rounding",
    "TableFormat",
    "cast",
    "code_dtype",
    "decode",
    "format_of",
]
