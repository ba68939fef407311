"""Predictions of serving: time per output token, time to the first, and throughput with all requests queued."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from chipmeter.cost.constants import Constants, book
from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array
from chipmeter.cost.serving import (
    FIRST_PARTS,
    FIRST_PRIORS,
    STEP_PARTS,
    STEP_PRIORS,
    Serving,
    capacity,
    decode_parts,
    first_parts,
    weight_bytes,
)
from chipmeter.cost.shape import Shape
from chipmeter.cost.terms import Terms, evaluate, flags
from chipmeter.validate.hardware import hardware, kin
from chipmeter.validate.ops import Sheet
from chipmeter.validate.program import fit_program, nearest_chip, predict_program
from chipmeter.validate.score import Answers
from chipmeter.validate.shapes import Shapes, find_shape
from chipmeter.validate.tables import Row, Table
from chipmeter.validate.training import one_core


class Point(NamedTuple):
    """One row understood."""

    model: Shape
    chip: Device
    load: Serving
    batch: float
    room: float
    engine: str
    format: str
    mode: str
    year: float


def _whole(cells: Row, key: str, default: float) -> float:
    text = (cells.get(key) or "").strip()
    return float(text) if re.fullmatch(r"\d+(\.\d*)?", text) and float(text) > 0 else default


def served_format(text: str) -> str:
    """Name the format that weights are served in.

    >>> served_format("fp4"), served_format("FP16/w:int8"), served_format("")
    ('nvfp4', 'fp8', 'bf16')
    """
    low = text.lower()
    return "nvfp4" if re.search("fp4|int4", low) else "fp8" if re.search("fp8|int8", low) else "bf16"


def read_silicon(table: Table, row: int, shapes: Shapes) -> Point:
    """Understand a row of the InferenceX table.

    Its columns multiply tensor by expert parallelism in some rows; the id inside `source` states them apart.
    """
    cells = table.rows[row]
    model, chip = find_shape(cells.get("model") or "", "", shapes), hardware(cells.get("accel") or "")
    format, engine = served_format(cells.get("precision") or ""), (cells.get("engine") or "").lower()
    pools = (cells.get("mode") or "").startswith("disagg")
    tp, ep = _whole(cells, "tp", 1), _whole(cells, "ep", 1)
    stated = re.search(r"_tp(\d+)(?:_0)?_ep(\d+|none)", cells.get("source") or "")
    chips = max(tp, ep if tp == 1 else 1)
    if stated:
        chips = max(float(stated.group(1)), 1.0)
    elif ep > 1 and tp == ep * ep:
        chips = ep
    adp = not pools and (tp == 1 and ep > 1 or _whole(cells, "dp_attn", 1) == tp > 1)
    if pools:
        decode = re.search(r"tp=(\d+)", cells.get("decode_cfg") or "")
        chips = float(decode.group(1)) if decode else 8.0
        adp = chips > chip.domain or chips >= 16
    least = weight_bytes(model, format) / (0.9 * chip.memory)
    while chips < least:
        chips *= 2
    load = Serving(
        chips=int(chips), sequences=_whole(cells, "concurrency_or_batch", 64), prompt=_whole(cells, "isl", 1024),
        answer=_whole(cells, "osl", 1024), format=format, cache_width=1.0 if engine == "trtllm" and format != "bf16" else 2.0,
        split_requests=bool(adp), pools=pools,
    )  # fmt: skip
    room = capacity(model, chip, load)
    year = re.match(r"(20\d\d)-?(\d\d)?", cells.get("date") or "")
    when = float(year.group(1)) + (min(float(year.group(2) or 6), 12) - 1) / 12 if year else 2026.0
    batch = min(load.sequences, room)
    return Point(model, chip, load, batch, room, engine, format, "disagg" if pools else "agg", when)


def read_offline(table: Table, row: int, shapes: Shapes) -> Point:
    """Understand a row of TensorRT-LLM's throughput table: as many requests at once as fit, 2,048 at most."""
    cells = table.rows[row]
    model, chip = find_shape(cells.get("model") or "", "", shapes), hardware(cells.get("accel") or "")
    format = served_format(cells.get("precision") or "")
    chips = max(1.0, _whole(cells, "n_accel", 1))
    load = Serving(
        chips=int(_whole(cells, "tp", chips)), sequences=2048, prompt=_whole(cells, "isl", 1000),
        answer=_whole(cells, "osl", 1000), format=format, cache_width=1.0,
    )  # fmt: skip
    stages = chips / load.chips
    room = capacity(model, chip, msgspec.structs.replace(load, chips=int(chips)))
    batch = min(2048.0 * stages, room)
    load = msgspec.structs.replace(load, sequences=batch)
    return Point(model, chip, load, batch, room, "trtllm", format, f"pipeline {stages:.0f}" if stages > 1 else "", 2025.7)


MLPERF_LENGTHS = {"llama2-70b": (294.0, 294.0), "llama3.1-8b": (778.0, 73.0), "llama3.1-405b": (9428.0, 684.0)}
MLPERF_LENGTHS |= {"deepseek-r1": (794.0, 3880.0), "mixtral8x7b": (379.0, 145.0)}
"""Mean tokens of prompt and answer of MLPerf's data sets (their published statistics)."""


def read_mlperf(table: Table, row: int, shapes: Shapes) -> Point:
    """Understand a row of MLPerf inference."""
    cells = table.rows[row]
    model, chip = find_shape(cells.get("model") or "", "", shapes), hardware(cells.get("accel") or "")
    format = served_format(cells.get("precision") or "")
    prompt, answer = MLPERF_LENGTHS.get(model.name, (1000.0, 500.0))
    least = 1
    while weight_bytes(model, format) > 0.8 * chip.memory * least:
        least *= 2
    load = Serving(chips=least, sequences=1024, prompt=prompt, answer=answer, format=format, cache_width=1.0)
    room = capacity(model, chip, load)
    mode = (cells.get("mode") or "Offline").split(" ")[0].lower()
    batch = min(1024.0 if mode == "offline" else 768.0 if mode == "server" else 96.0, room)
    load = msgspec.structs.replace(load, sequences=batch)
    return Point(model, chip, load, batch, room, (cells.get("engine") or "").split(" ")[0].lower(), format, mode, 2025.7)


def read_static(table: Table, row: int, shapes: Shapes) -> Point:
    """Understand a row of a table of static batches on Neuron cores or TPU chips."""
    cells = table.rows[row]
    model, whole = find_shape(cells.get("model") or "", "", shapes), hardware(cells.get("accel") or "")
    chip = one_core(whole)
    format = served_format(cells.get("precision") or "")
    batch = _whole(cells, "concurrency_or_batch", 1)
    load = Serving(
        chips=int(_whole(cells, "tp", _whole(cells, "n_accel", 1))), sequences=batch, prompt=_whole(cells, "isl", 128),
        answer=_whole(cells, "osl", 128), format=format, pools=(cells.get("mode") or "") != "online",
    )  # fmt: skip
    room = capacity(model, chip, load)
    return Point(model, chip, load, min(batch, room), room, (cells.get("engine") or "")[:12], format, "", 2024.5)


def step_terms(points: list[Point], values: Mapping[str, float] | None = None) -> Terms:
    """Lay out the parts, factors and floor of decode steps."""
    chips = [msgspec.structs.replace(p.chip, id=kin(p.chip)) for p in points]
    rows = [decode_parts(p.model, chip, p.load, p.batch) for p, chip in zip(points, chips, strict=True)]
    parts = {name: np.array([row[name] for row in rows]) for name in STEP_PARTS}
    near = [p.chip.id if values is None else nearest_chip(p.chip.id, values) for p in points]
    factors = flags("engine", [p.engine for p in points]) | flags("chip", near) | flags("mode", [p.mode for p in points])
    factors |= flags("format", [p.format for p in points])
    factors |= flags("engine on", [f"{p.engine} {chip}" for p, chip in zip(points, near, strict=True)])
    factors |= flags("engine kind", [f"{p.engine} {kind_of(p)}" for p in points])
    factors |= flags("engine format", [f"{p.engine} {p.format} {kind_of(p)}" for p in points])
    factors |= flags("split", [f"{p.engine} {p.mode}" if p.load.split_requests else "" for p in points])
    factors |= flags("apart", [f"{p.engine} {near[i]} {p.format}" if p.load.pools else "" for i, p in enumerate(points)])
    factors["year"] = np.array([p.year - 2026.0 for p in points])
    apart = np.array([float(p.load.pools) for p in points])
    factors["crowd apart"] = apart * np.log2([max(p.load.sequences, 1.0) for p in points]) / 10.0
    factors["size apart"] = apart * np.log2([max(p.load.chips, 1.0) for p in points]) / 10.0
    floor = np.array([_floor(p) for p in points])
    return Terms(parts, factors, floor)


def kind_of(point: Point) -> str:
    """Name the kind of model served."""
    return "latent" if point.model.latent else "moe" if point.model.experts else "dense"


def _floor(point: Point) -> float:
    """Weights that every token uses, read once: no decode step is faster."""
    used = point.model.dense_weights + point.model.moe_layers * point.model.active * point.model.expert_weights
    width = {"nvfp4": 0.5, "fp8": 1.0}.get(point.format, 2.0)
    # Speculative decoding yields several tokens per step.
    return used * width / (point.load.chips * point.chip.bandwidth) / 4.0


def first_terms(points: list[Point], steps: Array, values: Mapping[str, float] | None = None) -> Terms:
    """Lay out the parts and factors of the time to the first token."""
    chips = [msgspec.structs.replace(p.chip, id=kin(p.chip)) for p in points]
    rows = [first_parts(p.model, c, p.load, s, p.room) for p, c, s in zip(points, chips, steps.tolist(), strict=True)]
    parts = {name: np.array([row[name] for row in rows]) for name in FIRST_PARTS}
    near = [p.chip.id if values is None else nearest_chip(p.chip.id, values) for p in points]
    factors = flags("engine", [p.engine for p in points]) | flags("chip", near) | flags("mode", [p.mode for p in points])
    factors |= flags("engine kind", [f"{p.engine} {kind_of(p)}" for p in points])
    factors |= flags("engine mode", [f"{p.engine} {p.mode}" for p in points])
    factors |= flags("apart", [f"{p.engine} {near[i]} {p.format}" if p.load.pools else "" for i, p in enumerate(points)])
    crowd = np.log2(np.maximum([p.load.sequences for p in points], 1.0)) / 10.0
    factors["crowd"] = crowd
    factors["crowd apart"] = crowd * np.array([p.load.pools for p in points])
    return Terms(parts, factors, np.zeros(len(points)))


def family(point: Point) -> str:
    """Name the constants that describe a point of the InferenceX table."""
    return "apart" if point.load.pools else "together"


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

STEP_FIT = {**STEP_PRIORS, "year": (1.0, 0.2), "crowd apart": (1.0, 0.6), "size apart": (1.0, 0.6)}
FIRST_FIT = {**FIRST_PRIORS, "crowd": (1.0, 0.6), "crowd apart": (1.0, 0.6)}


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
    rows = [row for row, cells in enumerate(table.rows) if not NOT_TEXT.search(cells.get("model") or "")]
    return rows, [reader(table, row, shapes) for row in rows]


def _constants_of(table: Table, point: Point) -> str:
    return READERS[table.name][1] or family(point)


def fit_serving(tables: Mapping[str, Table], shapes: Shapes) -> dict[str, Constants]:
    """Refit the constants of serving from its tables: steps, and times to the first token under ``first_NAME``."""
    found: dict[str, Constants] = {}
    for table in (tables[name] for name in READERS if name in tables):
        rows, points = read_points(table, shapes)
        kinds = np.array([_constants_of(table, point) for point in points])
        for kind in sorted(set(kinds.tolist())):
            chosen = np.flatnonzero(kinds == kind)
            here = [points[i] for i in chosen]
            lines = [rows[i] for i in chosen]
            steps = np.array([step_seconds(table, row, p) for row, p in zip(lines, here, strict=True)])
            found[kind] = _fit(step_terms(here), steps, STEP_FIT, here, table.name, 0.1, 0.12)
            first = [i for i, row in enumerate(lines) if (table.rows[row].get("ttft_ms") or "").strip()]
            if len(first) == len(here):
                times = np.array([table.number(row, "ttft_ms") * 1e-3 for row in lines])
                predicted = evaluate(found[kind].values, step_terms(here))
                terms = first_terms(here, predicted)
                found[f"first_{kind}"] = _fit(terms, times, FIRST_FIT, here, table.name, 0.2, 0.25)
    return found


def _fit(
    terms: Terms, measured: Array, priors: Mapping[str, tuple[float, float]], points: list[Point], source: str,
    spread: float, scale: float,
) -> Constants:  # fmt: skip
    return fit_program(
        terms, measured, priors, models=[p.model.name for p in points], chips=[p.chip.id for p in points],
        groups=[group_of(p) for p in points], source=source, factor_spread=spread, scale=scale,
    )  # fmt: skip


def group_of(point: Point) -> str:
    """Name the group that an interval is for."""
    return f"{point.engine} {point.mode} {kind_of(point)}".strip()


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
        names = [p.model.name for p in here], [p.chip.id for p in here], [group_of(p) for p in here]
        found = book("serving")["serving"][kind]
        answer = predict_program(found, step_terms(here, found.values), *names)
        sheet.expected[chosen], sheet.low[chosen], sheet.high[chosen], sheet.outside[chosen] = answer
        at = [(place, i) for place, i in enumerate(firsts) if kinds[i] == kind]
        if at and f"first_{kind}" in book("serving")["serving"]:
            found = book("serving")["serving"][f"first_{kind}"]
            where = {i: n for n, i in enumerate(chosen.tolist())}
            places, picked = np.array([place for place, _ in at]), [where[i] for _, i in at]
            some = [here[n] for n in picked]
            names = [p.model.name for p in some], [p.chip.id for p in some], [group_of(p) for p in some]
            result = predict_program(found, first_terms(some, answer[0][picked], found.values), *names)
            first.expected[places], first.low[places], first.high[places], first.outside[places] = result
    for i, point in enumerate(points):
        _describe(sheet, i, point, weight_bytes(point.model, point.format) / point.load.chips)
    for place, i in enumerate(firsts):
        _describe(first, place, points[i], points[i].model.active_parameters * points[i].load.prompt)
    lines = np.array(rows)
    out = [sheet.answers()._replace(lines=lines)]
    if firsts:
        out.append(first.answers(f"{table.name}:ttft")._replace(lines=lines[firsts]))
    return out


def _describe(sheet: Sheet, row: int, point: Point, work: float) -> None:
    sheet.slices[row] = f"{point.chip.id} {point.mode}".strip()
    sheet.chips[row], sheet.models[row] = f"{point.chip.id} {point.format}", point.model.name
    sheet.work[row] = work
