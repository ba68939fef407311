"""Predictions of serving: time per output token, time to the first, and throughput with all requests queued."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from chipmeter.cost.constants import Constants, book, nearest_chip, run_on
from chipmeter.cost.fitting import Array
from chipmeter.cost.serving import (
    BUNDLING,
    FIRST_PARTS,
    FIRST_PRIORS,
    STEP_PARTS,
    STEP_PRIORS,
    decode_parts,
    first_parts,
    wait_of,
    weight_bytes,
)
from chipmeter.cost.terms import Terms, evaluate, flags
from chipmeter.validate.hardware import kin
from chipmeter.validate.ops import Sheet
from chipmeter.validate.program import fit_program, predict_program
from chipmeter.validate.score import Answers
from chipmeter.validate.serving_rows import Point, kind_of, read_mlperf, read_offline, read_silicon, read_static
from chipmeter.validate.shapes import Shapes
from chipmeter.validate.tables import Table


def step_terms(points: list[Point], values: Mapping[str, float] | None = None) -> Terms:
    """Lay out the parts, factors and floor of decode steps."""
    chips = [msgspec.structs.replace(p.chip, id=kin(p.chip)) for p in points]
    rows = [decode_parts(p.model, chip, p.load, p.batch) for p, chip in zip(points, chips, strict=True)]
    parts = {name: np.array([row[name] for row in rows]) for name in STEP_PARTS}
    near = [p.chip.id if values is None else nearest_chip(p.chip.id, values) for p in points]
    factors = (
        flags("engine", [p.engine for p in points]) | flags("chip", near) | flags("mode", [p.mode for p in points])
    )
    factors |= flags("format", [p.format for p in points])
    factors |= flags("engine on", [f"{p.engine} {chip}" for p, chip in zip(points, near, strict=True)])
    factors |= flags("split", [f"{p.engine} {p.mode}" if p.load.split_requests else "" for p in points])
    floor = np.array([_floor(p) for p in points])
    return Terms(parts, factors, floor)


def _floor(point: Point) -> float:
    """Weights that every token uses, read once: no decode step is faster."""
    used = point.model.dense_weights + point.model.moe_layers * point.model.active * point.model.expert_weights
    width = {"nvfp4": 0.5, "fp8": 1.0}.get(point.format, 2.0)
    # Speculative decoding yields several tokens per step.
    return used * width / (point.load.chips * point.chip.bandwidth) / 4.0


def first_terms(points: list[Point], steps: Array, values: Mapping[str, float] | None = None) -> Terms:
    """Lay out the parts and factors of the time to the first token."""
    chips = [msgspec.structs.replace(p.chip, id=kin(p.chip)) for p in points]
    rows = [
        first_parts(p.model, chip, p.load, step, p.room, bundles=p.engine in BUNDLING)
        for p, chip, step in zip(points, chips, steps.tolist(), strict=True)
    ]
    parts = {name: np.array([row[name] for row in rows]) for name in FIRST_PARTS}
    waits, own = parts.pop("wait"), [wait_of(p.engine, values) for p in points]
    for name in sorted({*own, "wait"}):
        parts[name] = np.where([one == name for one in own], waits, 0.0)
    near = [p.chip.id if values is None else nearest_chip(p.chip.id, values) for p in points]
    factors = (
        flags("engine", [p.engine for p in points]) | flags("chip", near) | flags("mode", [p.mode for p in points])
    )
    factors |= flags("engine on", [f"{p.engine} {near[i]}" if p.load.pools else "" for i, p in enumerate(points)])
    factors["crowd"] = np.log2(np.maximum([p.load.sequences for p in points], 1.0)) / 10.0
    return Terms(parts, factors, np.zeros(len(points)))


def family(point: Point) -> str:
    """Name the constants that describe a point of the InferenceX table."""
    return "apart" if point.load.pools else "together"


STEP_SPREAD = 0.03
"""How far (in log units) a factor of a decode step may move unpunished. Tight, and without factors of the date or of a
kind of model under an engine: those fitted the rows 0.3 points better and models left out 18 points worse."""

FIRST_SPREAD = 0.1
"""The same of times to the first token. Factors of a kind of model under an engine fitted the rows 3 points better and chips
left out 9 points worse."""

READERS: dict[str, tuple[Callable[[Table, int, Shapes], Point], str]] = {
    "inference_inferencex_silicon": (read_silicon, ""),
    "inference_trtllm": (read_offline, "offline"),
    "inference_mlperf": (read_mlperf, "mlperf"),
    "inference_trainium_inferentia": (read_static, "neuron"),
    "inference_tpu": (read_static, "tpu"),
}
"""How the rows of each table are read, and the constants they use; empty where that depends on the row."""

NOT_TEXT = re.compile("diffusion|sdxl|flux", re.IGNORECASE)
"""Models that a serving table holds and this does not serve."""

STEP_FIT = {**STEP_PRIORS, "mode:disagg": (0.8, 0.5)}
FIRST_FIT = {**FIRST_PRIORS, "crowd": (1.0, 0.6)}
NEURON_FIRST = {**FIRST_FIT, "own": (5.0, 1.0), "burst": (5.0, 1.0)}
"""Compiled graphs read prompts at a small share of peak, all prompts of a static batch in turn."""


def _label(value: str, fallback: float) -> float:
    text = value.strip()
    return float(text) if re.fullmatch(r"\d+(\.\d*)?", text) and float(text) > 0 else fallback


def step_seconds(table: Table, row: int, point: Point) -> float:
    """Seconds of a decode step that a row implies; NaN where it tells none.

    From the time per output token, or from a throughput: the requests in flight over their tokens per second.
    """
    cells = table.rows[row]
    if (cells.get("tpot_ms") or "").strip():
        return table.number(row, "tpot_ms") * 1e-3
    metric, unit = cells.get("metric") or "", cells.get("unit") or ""
    if metric == "tpot" or unit == "ms":
        return table.number(row, "value") * 1e-3
    copies = max(1.0, _label(cells.get("n_accel") or "", 1.0) / point.load.chips)
    if "pipeline" in point.mode:
        copies = 1.0
    return point.batch * copies / table.number(row, "value")


def read_points(table: Table, shapes: Shapes) -> tuple[list[int], list[Point]]:
    """Understand the rows of a serving table that serve text."""
    table.need("model", "accel", "metric", "value")
    reader, _ = READERS[table.name]
    rows = [
        row
        for row, cells in enumerate(table.rows)
        if not NOT_TEXT.search(cells.get("model") or "")
        and any((cells.get(name) or "").strip() for name in ("value", "tpot_ms"))
    ]
    return rows, [reader(table, row, shapes) for row in rows]


def _constants_of(table: Table, point: Point) -> str:
    return READERS[table.name][1] or family(point)


def fit_serving(tables: Mapping[str, Table], shapes: Shapes) -> dict[str, Constants]:
    """Refit the constants of serving from its tables: steps, and times to the first token under ``first_NAME``."""
    found: dict[str, Constants] = {}
    for table in (tables[name] for name in READERS if name in tables):
        rows, points = read_points(table, shapes)
        kinds = np.array([_constants_of(table, point) for point in points])
        for kind in sorted(set(kinds.tolist()), reverse=True):
            chosen = np.flatnonzero(kinds == kind)
            here = [points[i] for i in chosen]
            lines = [rows[i] for i in chosen]
            steps = np.array([step_seconds(table, row, p) for row, p in zip(lines, here, strict=True)])
            priors = _apart_priors(found["together"]) if {kind, "together"} <= {"apart", *found} else STEP_FIT
            scale = 0.25 if kind == "apart" else 0.12
            found[kind] = _fit(step_terms(here), steps, priors, here, table.name, STEP_SPREAD, scale)
            first = [i for i, row in enumerate(lines) if (table.rows[row].get("ttft_ms") or "").strip()]
            if len(first) == len(here):
                times = np.array([table.number(row, "ttft_ms") * 1e-3 for row in lines])
                predicted = evaluate(found[kind].values, step_terms(here))
                terms = first_terms(here, predicted)
                priors = dict(NEURON_FIRST if kind in ("neuron", "tpu") else FIRST_FIT)
                priors |= {name: priors["wait"] for name in terms.parts if name.startswith("wait ")}
                found[f"first_{kind}"] = _fit(terms, times, priors, here, table.name, FIRST_SPREAD, 0.25)
    return found


def _apart_priors(together: Constants) -> dict[str, tuple[float, float]]:
    """Start pools apart where the same engines and chips serve together, half as free to move.

    Two models were measured apart; weights fitted on them alone missed every other by a factor of 3.6.
    """
    priors = {name: (together.values[name], spread / 2) for name, (_, spread) in STEP_PRIORS.items()}
    kept = {
        name: (value, STEP_SPREAD) for name, value in together.values.items() if re.match("engine|chip|format", name)
    }
    return STEP_FIT | priors | kept


def _fit(
    terms: Terms, measured: Array, priors: Mapping[str, tuple[float, float]], points: list[Point], source: str,
    spread: float, scale: float,
) -> Constants:  # fmt: skip
    return fit_program(
        terms, measured, priors, models=[p.model.name for p in points], chips=[p.chip.id for p in points],
        groups=[group_of(p) for p in points], source=source, factor_spread=spread, scale=scale,
        runs=[run_on(p.engine, p.chip.id) for p in points],
    )  # fmt: skip


def group_of(point: Point) -> str:
    """Name the group that an interval is for."""
    return f"{point.engine} {point.mode} {kind_of(point)}".strip()


def _names(points: list[Point]) -> tuple[list[str], list[str], list[str], list[str]]:
    """List models, chips, groups and software on chips, as the constants know them."""
    return (
        [p.model.name for p in points], [p.chip.id for p in points], [group_of(p) for p in points],
        [run_on(p.engine, p.chip.id) for p in points],
    )  # fmt: skip


def serving_table(table: Table, shapes: Shapes) -> list[Answers]:
    """Predict a serving table: time per token or throughput, and the time to the first token where it is given."""
    rows, points = read_points(table, shapes)
    if not rows:
        return []
    kinds = np.array([_constants_of(table, point) for point in points])
    seconds = np.array([step_seconds(table, row, p) for row, p in zip(rows, points, strict=True)])
    sheet = Sheet(table, seconds)
    firsts = [i for i, row in enumerate(rows) if (table.rows[row].get("ttft_ms") or "").strip()]
    first = Sheet(table, np.array([table.number(rows[i], "ttft_ms") * 1e-3 for i in firsts]))
    for kind in sorted(set(kinds.tolist())):
        chosen = np.flatnonzero(kinds == kind)
        here = [points[i] for i in chosen]
        found = book("serving")["serving"][kind]
        answer = predict_program(found, step_terms(here, found.values), *_names(here))
        sheet.expected[chosen], sheet.low[chosen], sheet.high[chosen], sheet.outside[chosen] = answer
        at = [(place, i) for place, i in enumerate(firsts) if kinds[i] == kind]
        if at and f"first_{kind}" in book("serving")["serving"]:
            found = book("serving")["serving"][f"first_{kind}"]
            where = {i: n for n, i in enumerate(chosen.tolist())}
            places, picked = np.array([place for place, _ in at]), [where[i] for _, i in at]
            some = [here[n] for n in picked]
            result = predict_program(found, first_terms(some, answer[0][picked], found.values), *_names(some))
            first.expected[places], first.low[places], first.high[places], first.outside[places] = result
    for i, point in enumerate(points):
        _describe(sheet, i, point, weight_bytes(point.model, point.format) / point.load.chips)
    for place, i in enumerate(firsts):
        _describe(first, place, points[i], points[i].model.active_parameters * points[i].load.prompt)
    lines = np.array(rows)
    out = [_as_throughput(table, sheet, rows, points) if _is_throughput(table) else sheet.answers()]
    out[0] = out[0]._replace(lines=lines)
    if firsts:
        out.append(first.answers(f"{table.name}:ttft")._replace(lines=lines[firsts]))
    return out


def _describe(sheet: Sheet, row: int, point: Point, work: float) -> None:
    sheet.slices[row] = f"{point.chip.id} {point.mode}".strip()
    sheet.chips[row], sheet.models[row] = f"{point.chip.id} {point.format}", point.model.name
    sheet.work[row] = work


def _is_throughput(table: Table) -> bool:
    """Whether a table gives throughput and no time per token."""
    return not any((cells.get("tpot_ms") or "").strip() for cells in table.rows)


def _as_throughput(table: Table, sheet: Sheet, rows: list[int], points: list[Point]) -> Answers:
    """Turn predicted steps into tokens per second of the whole system."""
    value = np.array([table.number(row, "value") for row in rows])
    tokens = value * sheet.measured
    low, high = tokens / sheet.high, tokens / sheet.low
    sheet.expected, sheet.low, sheet.high = tokens / sheet.expected, low, high
    sheet.measured = value
    for i, (row, point) in enumerate(zip(rows, points, strict=True)):
        sheet.work[i] = _label(table.rows[row].get("n_accel") or "", 1.0) / point.model.active_parameters
    return sheet.answers(is_rate=True)
