"""Collectives: one schedule, executed for bits and priced for time."""

from chipmeter.collectives.agreement import Difference, difference, reproducibility
from chipmeter.collectives.algorithms import ALGORITHMS, Algorithm, algorithm
from chipmeter.collectives.build import schedule, schedule_names
from chipmeter.collectives.curves import seconds_of
from chipmeter.collectives.explain import Explanation, explain
from chipmeter.collectives.move import all_gather, all_to_all, all_to_all_v, broadcast, permute, send
from chipmeter.collectives.nccl import Nccl
from chipmeter.collectives.plans import Segment
from chipmeter.collectives.quantised import QUANTISED, Quantised, quantised_all_reduce
from chipmeter.collectives.run import Arithmetic, all_reduce, reduce, reduce_scatter
from chipmeter.collectives.schedule import Round, Schedule, ScheduleError, Transfer, check
from chipmeter.collectives.timing import Timing, choose, duration, seconds, time
from chipmeter.collectives.topology import Level, Topology, rated, topology

__all__ = [
    "ALGORITHMS",
    "QUANTISED",
    "Algorithm",
    "Arithmetic",
    "Difference",
    "Explanation",
    "Level",
    "Nccl",
    "Quantised",
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
    "quantised_all_reduce",
    "rated",
    "reduce",
    "reduce_scatter",
    "reproducibility",
    "schedule",
    "schedule_names",
    "seconds",
    "seconds_of",
    "send",
    "time",
    "topology",
]
