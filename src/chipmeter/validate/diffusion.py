"""Predictions of image and video generation."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
import numpy as np

from chipmeter.cost.constants import Constants, book, nearest_chip
from chipmeter.cost.device import Device
from chipmeter.cost.diffusion import PARTS, PRIORS, generation_parts
from chipmeter.cost.terms import Terms, flags
from chipmeter.validate.hardware import hardware, kin
from chipmeter.validate.ops import Sheet
from chipmeter.validate.program import fit_program, predict_program
from chipmeter.validate.score import Answers
from chipmeter.validate.serving import NOT_TEXT
from chipmeter.validate.tables import Table, number_or
from chipmeter.workloads.pictures import Denoiser, Generation, find_denoiser

IMAGE, SDXL = "inference_diffusion", "inference_mlperf"
NAMES = {IMAGE: "direct", SDXL: "mlperf"}
"""Names of the constants that each table determines."""


class Job(NamedTuple):
    """One row understood."""

    model: Denoiser
    chip: Device
    job: Generation
    seconds: float
    runtime: str


def read_jobs(table: Table) -> tuple[list[int], list[Job]]:
    """Understand the rows that generate pictures: of the diffusion table, and MLPerf's Stable Diffusion XL."""
    table.need("model", "accel", "value", "n_accel")
    rows = [r for r, cells in enumerate(table.rows) if table.name == IMAGE or NOT_TEXT.search(cells.get("model") or "")]
    return rows, [_mlperf(table, row) if table.name == SDXL else _picture(table, row) for row in rows]


def _mlperf(table: Table, row: int) -> Job:
    cells = table.rows[row]
    chips = max(1.0, number_or(cells, "n_accel", 1))
    low = "fp8" in (cells.get("precision") or "")
    # Every chip generates pictures of its own; 20 steps at 1024 x 1024, guided.
    job = Generation(steps=20, compiled=True, format="fp8" if low else "bf16", step_only=True)
    model = find_denoiser(cells.get("model") or "")
    return Job(
        model,
        hardware(cells.get("accel") or ""),
        job,
        chips / table.number(row, "value"),
        f"mlperf {cells.get('mode')}",
    )


def _picture(table: Table, row: int) -> Job:
    cells = table.rows[row]
    parallel, runtime = (cells.get("parallel") or "").lower(), (cells.get("runtime") or "").lower()
    chips = int(number_or(cells, "n_accel", 1))
    ring = re.search(r"ring-(\d+)", parallel)
    around = int(ring.group(1)) if ring else 1
    cfg, precision = (cells.get("cfg") or "").lower(), (cells.get("precision") or "").lower()
    guided = None if not cfg else not re.search("embedded|distilled|1 pass|none|no", cfg)
    # Rows that name neither variant nor steps run a distilled model, in 8 steps (assumed).
    unit, steps = (cells.get("unit") or "").lower(), number_or(cells, "steps", 8)
    step = "step" in unit or "step" in (cells.get("stage") or "").lower()
    model = find_denoiser(cells.get("model") or "")
    job = Generation(
        width=number_or(cells, "width", 1024), height=number_or(cells, "height", 1024), frames=number_or(cells, "frames", 1),
        steps=1.0 if step else steps, chips=chips, ulysses=max(1, chips // around), ring=around,
        compiled=bool(re.search("compile|tensorrt|graph", runtime)), guided=guided,
        format="fp8" if re.search("fp8|int8", precision) else "bf16", step_only=step,
    )  # fmt: skip
    value = table.number(row, "value") * (1e-3 if unit.startswith("ms") else 1.0)
    kind = "compiled" if job.compiled else "eager" if "eager" in runtime else "other"
    return Job(model, hardware(cells.get("accel") or ""), job, value, kind)


def job_terms(jobs: list[Job], values: dict[str, float] | None = None) -> Terms:
    """Lay out the parts, factors and floor."""
    rows = [generation_parts(j.model, msgspec.structs.replace(j.chip, id=kin(j.chip)), j.job) for j in jobs]
    parts = {name: np.array([row[name] for row in rows]) for name in PARTS}
    near = [j.chip.id if values is None else nearest_chip(j.chip.id, values) for j in jobs]
    factors = flags("chip", near) | flags("runtime", [j.runtime for j in jobs])
    floor = np.array([_floor(j) for j in jobs])
    return Terms(parts, factors, floor)


def _floor(job: Job) -> float:
    tokens = job.model.tokens(job.job.width, job.job.height, job.job.frames)
    return job.job.steps * 2.0 * tokens * job.model.per_token / job.job.chips / job.chip.rate(job.job.format) * 0.5


def group_of(job: Job) -> str:
    """Name the group that an interval is for."""
    return "video" if job.job.frames > 1 else "image"


def fit_pictures(table: Table) -> Constants:
    """Refit the constants of one table."""
    rows, jobs = read_jobs(table)
    # Rows that do not state their steps say nothing of speed.
    jobs = [
        j
        for row, j in zip(rows, jobs, strict=True)
        if table.name == SDXL or (table.rows[row].get("steps") or "").strip()
    ]
    return fit_program(
        job_terms(jobs), np.array([j.seconds for j in jobs]), PRIORS, models=[j.model.name for j in jobs],
        chips=[j.chip.id for j in jobs], groups=[group_of(j) for j in jobs], source=table.name,
    )  # fmt: skip


def picture_table(table: Table) -> list[Answers]:
    """Predict the seconds per picture of every row that generates one."""
    rows, jobs = read_jobs(table)
    if not rows:
        return []
    sheet = Sheet(table, np.array([j.seconds for j in jobs]))
    found = book("serving")["pictures"][NAMES[table.name]]
    names = [j.model.name for j in jobs], [j.chip.id for j in jobs], [group_of(j) for j in jobs]
    answer = predict_program(found, job_terms(jobs, found.values), *names)
    sheet.expected, sheet.low, sheet.high, sheet.outside = answer
    for i, job in enumerate(jobs):
        tokens = job.model.tokens(job.job.width, job.job.height, job.job.frames)
        flops = 2 * tokens * job.model.per_token + 4 * tokens**2 * job.model.hidden * job.model.blocks
        sheet.work[i] = job.job.steps * flops / job.job.chips
        sheet.slices[i] = f"{job.chip.id} {job.runtime}"
        sheet.chips[i], sheet.models[i] = job.chip.id, f"{job.model.name} {job.job.width:.0f}"
    name = table.name if table.name == IMAGE else f"{table.name}:pictures"
    return [sheet.answers(name)._replace(lines=np.array(rows))]
