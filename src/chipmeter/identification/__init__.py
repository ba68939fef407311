"""Which unit computes this? Probes for a matrix product whose arithmetic is not known."""

from chipmeter.identification.device import Device
from chipmeter.identification.recording import record
from chipmeter.identification.records import Difference, Identification, Probe
from chipmeter.identification.search import identify
from chipmeter.identification.sources import Source, open_source

__all__ = ["Device", "Difference", "Identification", "Probe", "Source", "identify", "open_source", "record"]
