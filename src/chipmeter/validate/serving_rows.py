"""Rows of serving tables understood: which model runs where, how, and under what load."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from chipmeter.cost.device import Device, one_core
from chipmeter.cost.serving import GROWING, Serving, capacity, weight_bytes
from chipmeter.cost.shape import Shape
from chipmeter.validate.hardware import hardware
from chipmeter.validate.shapes import Shapes, find_shape
from chipmeter.validate.tables import Row, Table, number_or


class Point(NamedTuple):
    """One row understood: `batch` requests in flight on each copy of the model, `room` for all at once."""

    model: Shape
    chip: Device
    load: Serving
    batch: float
    room: float
    engine: str
    format: str
    mode: str


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
    # Aggregated rows on more chips than a machine holds are pools of both kinds, counted together.
    pools = (cells.get("mode") or "").startswith("disagg") or (
        number_or(cells, "n_accel", 1) > 8 and "_ep1_" in f"{cells.get('source')}"
    )
    tp, ep = number_or(cells, "tp", 1), number_or(cells, "ep", 1)
    stated = re.search(r"_tp(\d+)(?:_0)?_ep(\d+|none)", cells.get("source") or "")
    chips = max(tp, ep if tp == 1 else 1)
    if stated:
        chips = max(float(stated.group(1)), 1.0)
    elif ep > 1 and tp == ep * ep:
        chips = ep
    adp = not pools and ((tp == 1 and ep > 1) or number_or(cells, "dp_attn", 1) == tp > 1)
    if pools:
        decode = re.search(r"tp=(\d+)", cells.get("decode_cfg") or "")
        chips = float(decode.group(1)) if decode else 8.0
        adp = chips > chip.domain or chips >= 16
    least = weight_bytes(model, format) / (0.9 * chip.memory)
    while chips < least:
        chips *= 2
    load = Serving(
        chips=int(chips), sequences=number_or(cells, "concurrency_or_batch", 64), prompt=number_or(cells, "isl", 1024),
        answer=number_or(cells, "osl", 1024), format=format, cache_width=_cached(model, engine, format),
        split_requests=bool(adp), pools=pools,
    )  # fmt: skip
    room, workers = (
        capacity(model, chip, load, grows=engine in GROWING),
        _workers(cells, load.sequences) if pools else 1.0,
    )
    batch = min(load.sequences / workers, room)
    return Point(model, chip, load, batch, room * workers, engine, format, "disagg" if pools else "agg")


def _cached(model: Shape, engine: str, format: str) -> float:
    """Bytes of a cached element: one where weights have eight bits or less, but for experts outside TensorRT-LLM.

    Rows do not state it. Read so, all of a chip's concurrencies that were measured without waiting fit its memory.
    """
    wide = format == "bf16" or (engine != "trtllm" and bool(model.experts) and not model.latent)
    return 2.0 if wide else 1.0


ONE_WORKER, SHARING = 32.0, 0.4
"""Requests that one decode worker takes alone, and the power of the load beyond them that its workers grow by."""


def _workers(cells: Row, requests: float) -> float:
    """Count the decode workers that share the load: as stated, else as many as such a load is usually given.

    Nearly all rows leave the number out. Over them the time per token grows as if pools grew by the 0.4th power of the
    load: read as one worker, the weights of memory and products came out below what the hardware allows.
    """
    stated = re.search(r"workers=(\d+)", cells.get("decode_cfg") or "")
    return float(stated.group(1)) if stated else max(1.0, requests / ONE_WORKER) ** SHARING


def read_offline(table: Table, row: int, shapes: Shapes) -> Point:
    """Understand a row of TensorRT-LLM's throughput table: as many requests at once as fit, 2,048 at most."""
    cells = table.rows[row]
    model, chip = find_shape(cells.get("model") or "", "", shapes), hardware(cells.get("accel") or "")
    format = served_format(cells.get("precision") or "")
    chips = max(1.0, number_or(cells, "n_accel", 1))
    load = Serving(
        chips=int(number_or(cells, "tp", chips)), sequences=2048, prompt=number_or(cells, "isl", 1000),
        answer=number_or(cells, "osl", 1000), format=format, cache_width=1.0,
    )  # fmt: skip
    stages = chips / load.chips
    room = capacity(model, chip, msgspec.structs.replace(load, chips=int(chips)))
    batch = min(2048.0 * stages, room)
    load = msgspec.structs.replace(load, sequences=batch)
    return Point(model, chip, load, batch, room, "trtllm", format, f"pipeline {stages:.0f}" if stages > 1 else "")


MLPERF_LENGTHS = {"llama2-70b": (294.0, 294.0), "llama3.1-8b": (778.0, 73.0), "llama3.1-405b": (9428.0, 684.0)}
MLPERF_LENGTHS |= {"deepseek-v3": (794.0, 3880.0), "mixtral8x7b": (379.0, 145.0)}
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
    return Point(model, chip, load, batch, room, (cells.get("engine") or "").split(" ")[0].lower(), format, mode)


def read_static(table: Table, row: int, shapes: Shapes) -> Point:
    """Understand a row of a table of static batches on Neuron cores or TPU chips."""
    cells = table.rows[row]
    model, whole = find_shape(cells.get("model") or "", "", shapes), hardware(cells.get("accel") or "")
    chip = one_core(whole)
    format = served_format(cells.get("precision") or "")
    batch = number_or(cells, "concurrency_or_batch", 1)
    load = Serving(
        chips=int(number_or(cells, "tp", number_or(cells, "n_accel", 1))), sequences=batch, prompt=number_or(cells, "isl", 128),
        answer=number_or(cells, "osl", 128), format=format, pools=(cells.get("mode") or "") != "online",
    )  # fmt: skip
    room = capacity(model, chip, load)
    return Point(model, chip, load, min(batch, room), room, (cells.get("engine") or "")[:12], format, "")


def kind_of(point: Point) -> str:
    """Name the kind of model served."""
    return "latent" if point.model.latent else "moe" if point.model.experts else "dense"
