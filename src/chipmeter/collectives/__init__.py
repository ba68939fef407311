"""Collectives: one schedule, executed for bits and priced for time."""

from chipmeter.collectives.algorithms import ALGORITHMS, Algorithm, Segment, algorithm
from chipmeter.collectives.build import schedule
from chipmeter.collectives.explain import Difference, Explanation, difference, explain, reproducibility
from chipmeter.collectives.move import all_gather, all_to_all, all_to_all_v, broadcast, permute, send
from chipmeter.collectives.run import Arithmetic, all_reduce, reduce, reduce_scatter
from chipmeter.collectives.schedule import Round, Schedule, ScheduleError, Transfer, check
from chipmeter.collectives.timing import Timing, choose, duration, seconds, time
from chipmeter.collectives.topology import Level, Topology, rated, topology

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Arithmetic",
    "Difference",
    "Explanation",
    "Level",
    "Round",
    "Schedule",
    "ScheduleError",
    "Segment",
    "Timing",
    "Topology",
    "Transfer",
    "algorithm",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_v",
    "broadcast",
    "check",
    "choose",
    "difference",
    "duration",
    "explain",
    "permute",
    "rated",
    "reduce",
    "reduce_scatter",
    "reproducibility",
    "schedule",
    "seconds",
    "send",
    "time",
    "topology",
]
