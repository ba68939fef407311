"""Recordings of devices and libraries against the emulation, bit for bit."""

from chipmeter.verify.report import Report, Row
from chipmeter.verify.run import verify

__all__ = ["Report", "Row", "verify"]
