"""Collectives: one schedule, executed for bits and priced for time."""

from chipmeter.collectives.algorithms import ALGORITHMS, Algorithm, Segment, algorithm
from chipmeter.collectives.build import schedule
from chipmeter.collectives.run import Arithmetic, all_reduce, reduce, reduce_scatter
from chipmeter.collectives.schedule import Round, Schedule, ScheduleError, Transfer, check
from chipmeter.collectives.timing import Timing, choose, seconds, time
from chipmeter.collectives.topology import Level, Topology, topology

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Arithmetic",
    "Level",
    "Round",
    "Schedule",
    "ScheduleError",
    "Segment",
    "Timing",
    "Topology",
    "Transfer",
    "algorithm",
    "all_reduce",
    "check",
    "choose",
    "reduce",
    "reduce_scatter",
    "schedule",
    "seconds",
    "time",
    "topology",
]
