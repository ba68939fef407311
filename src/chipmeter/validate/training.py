"""Predictions of training steps from the configuration that a row states."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from chipmeter.cost.constants import Constants, book, nearest_chip, run_on
from chipmeter.cost.device import Device, one_core
from chipmeter.cost.plan import RECOMPUTE, Plan, Plans
from chipmeter.cost.shape import Shape
from chipmeter.cost.software import gradient_bytes
from chipmeter.cost.terms import Terms, flags
from chipmeter.cost.training import PARTS, PRIORS, model_flops, step_parts
from chipmeter.validate.hardware import habits, hardware, kin
from chipmeter.validate.ops import Sheet
from chipmeter.validate.program import fit_program, predict_program
from chipmeter.validate.score import Answers
from chipmeter.validate.shapes import Shapes, find_shape
from chipmeter.validate.tables import Row, Table


class Step(NamedTuple):
    """One row understood: what runs where and how, and the seconds per step that it took."""

    model: Shape
    chip: Device
    plan: Plan
    seconds: float
    software: str
    format: str


def _int(table: Table, row: int, column: str, default: float) -> int:
    text = (table.rows[row].get(column) or "").strip()
    return max(1, round(float(text))) if re.fullmatch(r"\d+(\.\d*)?", text) and float(text) > 0 else round(default)


def precision_of(text: str, chip: Device, model: str, suite: str) -> str:
    """Name the recipe that a row trains in; blanks of MLPerf's language models are FP8, or what is usual on the chip.

    >>> from chipmeter.cost.device import device
    >>> precision_of("FP8-CS", device("h100"), "llama", ""), precision_of("amp_bf16", device("a100"), "mpt", "")
    ('fp8', 'bf16')
    """
    low = text.lower()
    if "mlperf" in suite and habits(chip).mlperf_format:
        return habits(chip).mlperf_format
    if not low and "mlperf" in suite and "fp8" in chip.peak and re.search("gpt|llama", model):
        return "fp8"
    for mark, name in (("nvfp4", "nvfp4"), ("fp4", "nvfp4"), ("mx", "mxfp8"), ("fp8", "fp8"), ("fp32", "bf16")):
        if mark in low:
            return name
    return "bf16"


def usual_seq(name: str) -> int:
    """Tokens of a sequence where a row does not say: of images, patches; of GPT-3, 2048; else 4096."""
    marks = (("vit", 197), ("perceiver", 512), ("stable", 1024), ("flux", 768), ("gpt3", 2048), ("bert", 512))
    return next((tokens for mark, tokens in marks if mark in name), 4096)


def _proxy(model: Shape, notes: str, cells: Row, chip: Device, split: int) -> Shape:
    """Cut a model to the layers it was measured with: stated, or what its quoted FLOPs imply where it cannot fit."""
    stated = re.search(r"layers=(\d+) \(proxy", notes)
    if stated:
        return msgspec.structs.replace(model, layers=int(stated.group(1)))
    quoted = [(cells.get(name) or "").strip() for name in ("mfu_pct", "tokens_s_per_accel")]
    quoted = [text if re.fullmatch(r"\d+(\.\d*)?", text) and float(text) > 0 else "" for text in quoted]
    if model.experts or not all(quoted) or split == 1 or model.parameters * 6.0 / split < 0.75 * chip.memory:
        return model
    rate = chip.rate("fp8" if "fp8" in (cells.get("precision") or "").lower() else "bf16")
    per_token = float(quoted[0]) / 100 * rate / float(quoted[1])
    layer = (model_flops(model, 8192) - 6.0 * model.vocab * model.hidden) / model.layers
    layers = round((per_token - 6.0 * model.vocab * model.hidden) / layer)
    return msgspec.structs.replace(model, layers=min(max(layers, 1), model.layers))


def _recompute(policy: str, cells: Row, notes: str) -> str:
    """Name what a row recomputes: as it says, or where hardware FLOPs are quoted beside model FLOPs by those."""
    hardware_flops, model_share = re.search(r"HFU=([\d.]+)", notes), (cells.get("mfu_pct") or "").strip()
    if "narayanan" in (cells.get("suite") or "").lower():
        return "full"
    if hardware_flops and re.fullmatch(r"[\d.]+", model_share):
        return "full" if float(hardware_flops.group(1)) > 1.15 * float(model_share) else "none"
    return policy if policy in RECOMPUTE else "none"


def read_step(table: Table, row: int, shapes: Shapes) -> Step:
    """Understand one row; blanks take what is usual."""
    cells = table.rows[row]
    notes, suite, accel = cells.get("notes") or "", cells.get("suite") or table.name, cells.get("accel") or ""
    model, chip = find_shape(cells.get("model") or "", notes, shapes), hardware(accel)
    seq = _int(table, row, "seq", usual_seq(model.name))
    chips, cores = _int(table, row, "n_accel", 8), chip.logical_cores
    phase = cells.get("phase") or "pretrain"
    micro_stated = _int(table, row, "mbs", 1)
    tensor, pipeline = _int(table, row, "tp", 1), _int(table, row, "pp", 1)
    context = _int(table, row, "cp", 1)
    blank = not (cells.get("tp") or "").strip()
    usually = habits(chip)
    if blank and not usually.sharded:
        # What the same suites use for a model of this size: 8 GB of weights and state per chip or so.
        big = model.parameters * 18 / chip.memory
        tensor = 1 if big < 4 or "fsdp" in (cells.get("sharding") or "") else min(8, chips)
        pipeline = max(1, min(16, round(big / tensor / 4), chips // tensor)) if big > 30 else 1
    replicas = max(1.0, chips * cores / (tensor * pipeline * context))
    usual = micro_stated * (chips if usually.sharded else replicas * max(8, 4 * (pipeline - 1)))
    if usually.sequences_per_chip and not (cells.get("mbs") or "").strip():
        usual = usually.sequences_per_chip * chips
    batch = _int(table, row, "gbs", usual)
    model = _proxy(model, notes, cells, chip, 1 if blank else tensor * pipeline)
    if "weak" in suite and pipeline == 1 and not (cells.get("mbs") or "").strip():
        # Sizes are not published; memory holds four sequences where there is no pipeline to keep full.
        micro_stated = min(4, round(batch / replicas))
    virtual = _int(table, row, "vp", 1)
    if not (cells.get("vp") or "").strip() and pipeline > 1 and "weak" in suite:
        virtual = max(1, model.layers // pipeline // 2)
    sharding, recompute = (cells.get("sharding") or "").lower(), (cells.get("recompute") or "").lower()
    software = suite.split("_")[0]
    format = precision_of(cells.get("precision") or "", chip, model.name, suite)
    plan = Plan(
        chips=chips * cores, batch=batch, seq=seq, micro=min(micro_stated, max(1, batch / replicas)), tensor=tensor,
        pipeline=pipeline, virtual=virtual, context=context, expert=_int(table, row, "ep", 8 if model.experts else 1),
        recompute=_recompute(recompute, cells, notes), zero=3 if "fsdp" in sharding or usually.sharded else 1, adapters="lora" in f"{phase} {notes}".lower(),
        format="fp8" if format == "mxfp8" else format, gradient_bytes=gradient_bytes(software),
    )  # fmt: skip
    return Step(model, chip, plan, _seconds(table, row, model, plan, chips, seq), software, format)


def _seconds(table: Table, row: int, model: Shape, plan: Plan, chips: int, seq: int) -> float:
    cells, per_chip = table.rows[row], plan.batch * seq / chips
    notes = cells.get("notes") or ""
    if (cells.get("step_s") or "").strip() and (cells.get("gbs") or "").strip():
        return table.number(row, "step_s")
    if (cells.get("tokens_s_per_accel") or "").strip():
        return per_chip / table.number(row, "tokens_s_per_accel")
    metric, value = cells.get("metric") or "", table.number(row, "value")
    if metric == "time_to_train":
        told = re.search(r"samples_to_target=([\d.]+)", notes)
        # Stable Diffusion's checkpoints: 2.1 million images at batch 256, more at larger batches.
        samples = float(told.group(1)) if told else 2.1e6 * max(1.0, plan.batch / 256) ** 0.3
        return value / max(1.0, samples / plan.batch)
    if metric == "samples_s":
        return plan.batch / value
    if metric == "tokens_s":
        return plan.batch * seq / value
    if metric == "mfu":
        value, metric = value / 100 * hardware(cells.get("accel") or "").rate("bf16") / 1e12, "model_tflops_per_accel"
    if metric == "model_tflops_per_accel":
        # Megatron and MaxText of those dates count attention in full; Narayanan et al. the repeated forward pass too.
        counted = model_flops(model, seq, causal=False) * (4 / 3 if "narayanan" in (cells.get("suite") or "") else 1.0)
        return per_chip * counted / (value * 1e12)
    return value


def family(step: Step) -> str:
    """Name the constants that describe a training step: by maker of the chip; image models apart."""
    if kind_of(step) == "image" and step.chip.family != "trainium":
        return "image"
    return step.chip.family


def group_of(step: Step) -> str:
    """Name the group that an interval is for: format and kind of model, of one software where that has rows enough."""
    return f"{'bf16' if step.format == 'bf16' else 'low'} {kind_of(step) or 'dense'} of {step.software}"


def kind_of(step: Step) -> str:
    """Name the kind of model trained, for the factors; empty for a dense language model."""
    if re.search("stable|flux|vit|perceiver|clip", step.model.name):
        return "image"
    return "moe" if step.model.experts else "adapters" if step.plan.adapters else ""


def training_terms(steps: list[Step], values: Mapping[str, float] | None = None) -> Terms:
    """Lay out the parts, factors and floor of many steps; chips without a factor in `values` take a relative's."""
    parts = {name: np.zeros(len(steps)) for name in PARTS}
    for alike in {_alike(s): None for s in steps}:
        rows = [row for row, s in enumerate(steps) if _alike(s) == alike]
        on = steps[rows[0]]
        core = msgspec.structs.replace(one_core(on.chip), id=kin(on.chip))
        for name, part in step_parts(on.model, core, Plans.of([steps[row].plan for row in rows])).items():
            parts[name][rows] = part
    low = ["" if s.format == "bf16" else f"{s.format}{' moe' if s.model.experts else ''}" for s in steps]
    chips = [s.chip.id if values is None else nearest_chip(s.chip.id, values) for s in steps]
    # Whole-number formats run at a rate of their own: they say nothing of the chip in others.
    chips = ["" if s.format == "int8" else chip for s, chip in zip(steps, chips, strict=True)]
    factors = flags("software", [s.software for s in steps])
    factors |= flags("chip", chips)
    factors |= flags("format", low)
    factors |= flags("kind", [kind_of(s) for s in steps])
    factors |= flags("moe on", [chip if s.model.experts else "" for s, chip in zip(steps, chips, strict=True)])
    factors["doubling"] = np.array([np.log2(max(1.0, s.plan.chips / 8)) / 10 for s in steps])
    return Terms(parts, factors, np.array([_floor(s) for s in steps]))


def _alike(step: Step) -> tuple[str, Shape, str, bool, int | None]:
    """Tell what must agree between steps whose parts are computed together."""
    return step.chip.id, step.model, step.plan.format, step.plan.adapters, step.plan.gradient_bytes


def _floor(step: Step) -> float:
    tokens = step.plan.batch * step.plan.seq
    flops = model_flops(step.model, step.plan.seq) * (2 / 3 if step.plan.adapters else 1.0)
    return tokens * flops / (step.plan.chips * one_core(step.chip).rate(step.plan.format))


TABLES = (
    "training_nvidia_bridge_dgxc", "training_fsdp_llmfoundry", "training_megatron_papers", "training_torchtitan",
    "training_mlperf", "training_tpu", "training_trainium",
)  # fmt: skip

NEEDED = ("model", "accel", "n_accel", "metric", "value")
FIT_PRIORS = {**PRIORS, "kind:adapters": (1.0, 0.1), "kind:image": (1.0, 0.1)}

FACTOR_SPREAD = {"gpu": 0.03}
"""How far (in log units) a factor may move unpunished; 0.1 for the other families. Tight on GPUs, and without factors of
the date or of one mixture of experts: those fitted the rows no better, and chips left out 4 points worse."""


def read_steps(table: Table, shapes: Shapes) -> list[Step]:
    """Understand every row of a training table."""
    table.need(*NEEDED)
    return [read_step(table, row, shapes) for row in measured_rows(table)]


def measured_rows(table: Table) -> list[int]:
    """List the rows that state a time or a rate."""
    stated = ("value", "step_s", "tokens_s_per_accel")
    return [row for row, cells in enumerate(table.rows) if any((cells.get(name) or "").strip() for name in stated)]


def fit_training(tables: Sequence[Table], shapes: Shapes) -> dict[str, Constants]:
    """Refit the constants of training from all its tables together: by family of chips."""
    steps = [step for table in tables for step in read_steps(table, shapes)]
    found = {}
    for name in sorted({family(step) for step in steps}):
        here = [step for step in steps if family(step) == name]
        found[name] = fit_program(
            training_terms(here),
            np.array([step.seconds for step in here]),
            FIT_PRIORS,
            models=[step.model.name for step in here],
            chips=[step.chip.id for step in here],
            groups=[group_of(step) for step in here],
            source=", ".join(table.name for table in tables),
            factor_spread=FACTOR_SPREAD.get(name, 0.1),
            runs=[run_on(step.software, step.chip.id) for step in here],
        )
    return found


def training_table(table: Table, shapes: Shapes) -> Answers:
    """Predict the seconds per step of every row."""
    steps = read_steps(table, shapes)
    sheet = Sheet(table, np.array([step.seconds for step in steps]))
    kinds = np.array([family(step) for step in steps])
    for name in sorted(set(kinds.tolist())):
        rows = np.flatnonzero(kinds == name)
        here = [steps[row] for row in rows]
        found = book("training")["training"][name]
        models, chips = [step.model.name for step in here], [step.chip.id for step in here]
        sheet.expected[rows], sheet.low[rows], sheet.high[rows], sheet.outside[rows] = predict_program(
            found, training_terms(here, found.values), models, chips, [group_of(step) for step in here],
            [run_on(step.software, step.chip.id) for step in here],
        )  # fmt: skip
        for row, step in zip(rows.tolist(), here, strict=True):
            format = "FP4" if step.format == "nvfp4" else "BF16" if step.format == "bf16" else "FP8"
            sheet.slices[row] = f"{kind_of(step) or 'dense'} {format}"
            sheet.chips[row], sheet.models[row] = f"{step.chip.id} {step.format}", step.model.name
            tokens = step.plan.batch * step.plan.seq / step.plan.chips
            sheet.work[row] = tokens * model_flops(step.model, step.plan.seq)
    return sheet.answers()._replace(lines=np.array(measured_rows(table), dtype=np.int64))
