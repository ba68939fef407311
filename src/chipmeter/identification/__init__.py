"""Which unit computes this? Probes for a matrix product whose arithmetic is not known."""

from chipmeter.identification.device import Device
from chipmeter.identification.records import Difference, Identification, Probe
from chipmeter.identification.search import identify

__all__ = ["Device", "Difference", "Identification", "Probe", "identify", "open_source", "record"]
