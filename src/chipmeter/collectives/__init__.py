"""Collectives: one schedule, executed for bits and priced for time."""

from chipmeter.collectives.algorithms import ALGORITHMS, Algorithm, Segment, algorithm
from chipmeter.collectives.build import schedule
from chipmeter.collectives.run import Arithmetic, all_reduce, reduce, reduce_scatter
from chipmeter.collectives.schedule import Round, Schedule, ScheduleError, Transfer, check

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Arithmetic",
    "Round",
    "Schedule",
    "ScheduleError",
    "Segment",
    "Transfer",
    "algorithm",
    "all_reduce",
    "check",
    "reduce",
    "reduce_scatter",
    "schedule",
]
