"""`validate`: predict every row of a folder of measured tables and say how far off the predictions were."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from chipmeter.validate import diffusion, memory, network, neuron, node, ops, reference, serving, training
from chipmeter.validate.score import Answers, Score, score
from chipmeter.validate.shapes import Shapes, read_shapes
from chipmeter.validate.tables import Table, read_folder

Predictor = Callable[[Table, Shapes], list[Answers]]


def _one(predict: Callable[[Table], Answers]) -> Predictor:
    return lambda table, shapes: [predict(table)]


def _training(table: Table, shapes: Shapes) -> list[Answers]:
    return [training.training_table(table, shapes), *memory.peak_answers(table, shapes)]


def _pictures(table: Table, shapes: Shapes) -> list[Answers]:
    return [*diffusion.picture_table(table), *memory.picture_peaks(table)]


def _mlperf(table: Table, shapes: Shapes) -> list[Answers]:
    return [*serving.serving_table(table, shapes), *diffusion.picture_table(table)]


def _many(predict: Callable[[Table], list[Answers]]) -> Predictor:
    return lambda table, shapes: predict(table)


PREDICTORS: dict[str, Predictor] = {
    "op_gemm": _one(ops.gemm_table),
    "op_gemm_best_mamf": _one(ops.gemm_table),
    "op_attention": _one(ops.attention_table),
    "energy_op_power": _one(ops.power_table),
    **dict.fromkeys(training.TABLES, _training),
    **dict.fromkeys(serving.READERS, serving.serving_table),
    "inference_mlperf": _mlperf,
    "inference_diffusion": _pictures,
    "memory_activation": memory.activation_table,
    "nki_kernels": _many(neuron.kernel_table),
    "energy_training_mlperf": _many(node.node_table),
    reference.TABLE: _many(reference.reference_table),
    **dict.fromkeys(network.TABLES, _many(network.collective_table)),
}
"""By the stem of the file."""

EXAMPLES = Path(__file__).parent / "data" / "tables"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of all tables, and the tables that hold nothing to predict."""

    tables: tuple[Score, ...]
    skipped: tuple[str, ...] = ()


def answers(folder: str | os.PathLike[str] | None = None) -> tuple[list[tuple[Table, Answers]], list[str]]:
    """Predict every row of every table in a folder.

    Returns
    -------
    list of (Table, Answers)
        One for each quantity of each table.
    list of str
        Names of the tables that hold nothing this can predict.

    Raises
    ------
    ValueError
        If a table is broken: the message names file, line and column.
    """
    found: list[tuple[Table, Answers]] = []
    skipped = []
    path = EXAMPLES if folder is None else Path(folder)
    tables = read_folder(path)
    shapes = read_shapes(path)
    for table in tables:
        predict = PREDICTORS.get(table.name)
        if predict is None:
            skipped.append(table.name)
        elif table.rows:
            found += [(table, one) for one in predict(table, shapes)]
    return found, skipped


def validate(folder: str | os.PathLike[str] | None = None) -> Report:
    """Hold the model against tables of measurements.

    Parameters
    ----------
    folder : path, optional
        A folder of CSV files in the validation layout, told apart by their names; shapes of models are read from
        ``model_shapes.csv`` in it or beside it. By default a few dozen cited figures that come with the package.

    Returns
    -------
    Report
        Per table and slice: rows, coverage, median and mean relative error, bias, how much of the nominal 90 %
        interval held, and the error of the null model: a constant rate, the median of the other models' on the same
        chip and format.

    Raises
    ------
    ValueError
        If a table is broken: the message names file, line and column.

    Examples
    --------
    >>> report = validate()
    >>> all(table.coverage == 1.0 for table in report.tables)
    True
    """
    return report(folder)[0]


NOT_RUN = frozenset(
    [
        "row_id",
        "suite",
        "source",
        "date",
        "metric",
        "value",
        "unit",
        "notes",
        "flag",
        "spread_rel",
        "n_obs",
        "engine_version",
        "model",
        "engine",
        "step_s",
        "latency_us",
        "ttft_ms",
        "tpot_ms",
        "tokens_s_per_accel",
        "model_tflops_per_accel",
        "mfu_pct",
        "out_tok_s_total",
        "out_tok_s_per_accel",
        "power_W",
        "power_w",
        "energy_mJ",
        "peak_mem_GiB",
        "peak_mem_GB",
    ]
)
"""Columns that do not say what was run: names, results, and two that are read as the model and its engine."""


def configurations(table: Table, one: Answers) -> list[str]:
    """Name what each answer's row ran: its inputs, the model as understood, and the engine without its version."""
    names = [name for name in table.columns if name not in NOT_RUN]
    found = []
    for line, model in zip(one.lines.tolist(), one.models, strict=True):
        cells = table.rows[line]
        engine = (cells.get("engine") or "").split(" ")[0]
        found.append("|".join([model, engine, *(cells.get(name) or "" for name in names)]))
    return found


def report(folder: str | os.PathLike[str] | None = None) -> tuple[Report, list[tuple[Table, Answers]]]:
    """Return the report of `validate` and the predictions behind it."""
    found, skipped = answers(folder)
    scores = (score(one._replace(configurations=configurations(table, one))) for table, one in found)
    return Report(tables=tuple(scores), skipped=tuple(skipped)), found


def write_rows(path: Path, found: list[tuple[Table, Answers]]) -> None:
    """Write a CSV file with one line per prediction: table, line, row_id, measured, predicted, low, high, outside."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["table", "line", "row_id", "measured", "predicted", "low", "high", "outside"])
        for table, one in found:
            for row in range(len(one.measured)):
                line = int(one.lines[row])
                figures = (f"{x[row]:.6g}" for x in (one.measured, one.expected, one.low, one.high))
                out.writerow([one.table, line + 2, table.rows[line].get("row_id", ""), *figures, int(one.outside[row])])
