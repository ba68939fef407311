"""Predictions of device memory: activations and state of published plans, and peaks where a table gives them."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from chipmeter.cost.constants import Constants
from chipmeter.cost.plan import RECOMPUTE, Plan, Plans
from chipmeter.cost.residency import classic_activations, fullest_stage, static_bytes, total_bytes
from chipmeter.validate.ops import Sheet, column
from chipmeter.validate.score import Answers
from chipmeter.validate.shapes import Shapes, find_shape
from chipmeter.validate.tables import Table
from chipmeter.validate.training import read_step
from chipmeter.workloads.pictures import find_denoiser

GIB = 2.0**30

FORMULA = Constants(
    values={}, rows=0, median_error=0.0, p90_error=0.0, low=math.log(0.93), high=math.log(1.10), source="closed forms",
    date="2026-11",
)  # fmt: skip
"""Nothing is fitted: sums of tensors, taken to be right from -7 to +10 %."""

PEAK = msgspec.structs.replace(FORMULA, low=math.log(0.80), high=math.log(1.12))
"""Peaks depend on the allocator and on what is alive at once; the formula leans high, for plans that must fit."""

POLICY = {"selective+sp": ("selective", True), "sp": ("none", True), "selective": ("selective", False)}
POLICY |= {"full": ("full", False), "none": ("none", False)}

STATED = {"gpt175b": (64, 8, 3), "gpt530b": (280, 35, 3), "gpt1t": (512, 64, 1), "gpt22b": (8, 1, 1)}


def activation_table(table: Table, shapes: Shapes) -> list[Answers]:
    """Predict Korthikanti's memory figures: GiB of one stage, or percent of the plan with tensor parallelism only."""
    table.need("model", "metric", "value", "recompute")
    sheet = Sheet(table, column(table, "value"))
    expected = np.empty(len(table.rows))
    for row, cells in enumerate(table.rows):
        model = find_shape(cells.get("model") or "", cells.get("notes") or "", shapes)
        policy, parallel = POLICY.get((cells.get("recompute") or "none").lower(), ("none", False))
        plan = Plan(
            chips=round(table.number(row, "n_accel", 8)), batch=1, seq=round(table.number(row, "seq", 2048)),
            micro=table.number(row, "mbs", 1), tensor=round(table.number(row, "tp", 8)),
            pipeline=round(table.number(row, "pp", 1)), virtual=round(table.number(row, "vp", 1)),
        )  # fmt: skip
        metric = cells.get("metric") or ""
        used = classic_activations(model, plan, recompute=policy, sequence_parallel=parallel)
        if metric == "activation_mem_vs_tp_only":
            whole = classic_activations(model, plan, recompute="none", sequence_parallel=False)
            expected[row] = 100.0 * used / whole
        elif "param" in metric:
            expected[row] = static_bytes(model, plan) / GIB
        else:
            expected[row] = used / GIB
        sheet.slices[row], sheet.models[row], sheet.chips[row] = metric, model.name, metric
        sheet.work[row] = 1.0 if "vs" in metric else model.parameters / plan.tensor / plan.pipeline
    sheet.fill(np.arange(len(table.rows)), expected, FORMULA, False)
    return [sheet.answers(is_rate=True)]


def peak_answers(table: Table, shapes: Shapes) -> list[Answers]:
    """Predict the peak memory of training rows that give one; none if no row does."""
    rows = [row for row, cells in enumerate(table.rows) if (cells.get("peak_mem_GiB") or "").strip()]
    if not rows:
        return []
    sheet = Sheet(table, np.array([table.number(row, "peak_mem_GiB") for row in rows]))
    expected = np.empty(len(rows))
    for place, row in enumerate(rows):
        cells = table.rows[row]
        step = read_step(table, row, shapes)
        policy = (cells.get("recompute") or "none").lower()
        plan = msgspec.structs.replace(step.plan, recompute=policy if policy in RECOMPUTE else "none")
        expected[place] = total_bytes(fullest_stage(step.model, Plans.of([plan])))[0] / GIB
        sheet.slices[place], sheet.models[place], sheet.chips[place] = step.model.name, step.model.name, step.chip.id
        sheet.work[place] = step.model.parameters / step.plan.chips
    sheet.fill(np.arange(len(rows)), expected, PEAK, True)
    return [sheet.answers(f"{table.name}:memory", is_rate=True)._replace(lines=np.array(rows))]


def picture_peaks(table: Table) -> list[Answers]:
    """Predict the peak memory of picture rows that give one: weights in their format, and a pass's activations."""
    rows = [row for row, cells in enumerate(table.rows) if (cells.get("peak_mem_GB") or "").strip()]
    if not rows:
        return []
    sheet = Sheet(table, np.array([table.number(row, "peak_mem_GB") for row in rows]))
    expected = np.empty(len(rows))
    for place, row in enumerate(rows):
        cells = table.rows[row]
        model = find_denoiser(cells.get("model") or "")
        width, height = table.number(row, "width", 1024), table.number(row, "height", 1024)
        tokens = model.tokens(width, height, table.number(row, "frames", 1))
        low = any(mark in (cells.get("precision") or "").lower() for mark in ("fp8", "int8", "nf4"))
        weights = model.weights * (1.0 if low else 2.0) + model.encoders * 2.0
        step = "step" in f"{cells.get('unit')} {cells.get('stage')}".lower()
        activations = tokens * model.hidden * 2.0 * 30.0
        expected[place] = (weights - (model.encoders * 2.0 if step else 0.0) + activations) / 1e9 + 0.8
        sheet.slices[place], sheet.models[place], sheet.chips[place] = model.name, model.name, "any"
        sheet.work[place] = model.weights
    sheet.fill(np.arange(len(rows)), expected, PEAK, True)
    return [sheet.answers(f"{table.name}:memory", is_rate=True)._replace(lines=np.array(rows))]
