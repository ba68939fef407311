"""Collectives: one schedule, executed for bits and priced for time."""

from chipmeter.collectives.build import schedule
from chipmeter.collectives.schedule import Round, Schedule, ScheduleError, Transfer, check

__all__ = ["Round", "Schedule", "ScheduleError", "Transfer", "check", "schedule"]
