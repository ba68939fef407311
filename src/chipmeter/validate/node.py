"""Predictions of whole machines: mean power of training runs."""

from __future__ import annotations

import numpy as np

from chipmeter.cost.constants import Constants, book
from chipmeter.cost.terms import Terms, flags
from chipmeter.validate.hardware import hardware
from chipmeter.validate.ops import Sheet, column
from chipmeter.validate.program import fit_program, predict_program
from chipmeter.validate.score import Answers
from chipmeter.validate.tables import Table

PRIORS = {"boards": (0.92, 0.05), "host": (1.0, 0.15)}
"""Share of the boards' limit that training draws, and of 260 W per board for processors, memory, fans and supplies
(8 x H100 measured at 856 to 900 W per board, 700 W of it the board's limit)."""


def node_terms(table: Table) -> Terms:
    """Lay out the watts of boards and hosts, and factors."""
    chips = [hardware(cells.get("accel") or "") for cells in table.rows]
    count = column(table, "n_accel")
    boards = count * np.array([chip.limit or 700.0 for chip in chips])
    machines = np.log2(np.maximum(count / 8.0, 1.0)) / 10.0
    factors = {"machines": machines}
    factors |= flags("meter", [(cells.get("measurement") or "").upper() for cells in table.rows])
    factors |= flags("benchmark", [cells.get("benchmark") or "" for cells in table.rows])
    lora = np.array([float("lora" in (cells.get("benchmark") or "")) for cells in table.rows])
    factors["machines lora"] = machines * lora
    dense = np.array([float("gpt" in (cells.get("benchmark") or "")) for cells in table.rows])
    factors["machines gpt"] = machines * dense
    return Terms({"boards": boards, "host": count * 260.0}, factors, np.zeros(len(count)))


def _labels(table: Table) -> tuple[list[str], list[str], list[str]]:
    names = [cells.get("benchmark") or "" for cells in table.rows]
    return names, [hardware(cells.get("accel") or "").id for cells in table.rows], ["node"] * len(names)


def fit_nodes(table: Table) -> Constants:
    """Refit the constants of the table."""
    names, chips, groups = _labels(table)
    return fit_program(
        node_terms(table), column(table, "mean_power_W"), {**PRIORS, "machines gpt": (1.0, 0.5), "machines lora": (1.0, 0.5)},
        models=names, chips=chips, groups=groups, source=table.name, factor_spread=0.05, scale=0.03,
    )  # fmt: skip


def node_table(table: Table) -> list[Answers]:
    """Predict the mean power of every run."""
    table.need("accel", "n_accel", "benchmark", "mean_power_W")
    found = book("network")["power"]["node"]
    sheet = Sheet(table, column(table, "mean_power_W"))
    names, chips, groups = _labels(table)
    sheet.expected, sheet.low, sheet.high, sheet.outside = predict_program(
        found, node_terms(table), names, chips, groups
    )
    sheet.work = column(table, "n_accel")
    for row, (name, chip) in enumerate(zip(names, chips, strict=True)):
        sheet.slices[row], sheet.chips[row], sheet.models[row] = name, chip, name
    return [sheet.answers(is_rate=True)]
