"""Predictions held against measurements: `validate`, and `calibrate` that refits the constants."""

from chipmeter.validate.calibrate import calibrate
from chipmeter.validate.run import Report, validate
from chipmeter.validate.score import Score
from chipmeter.validate.tables import Table, read_folder, read_table

__all__ = ["Report", "Score", "Table", "calibrate", "read_folder", "read_table", "validate"]
