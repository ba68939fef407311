"""What each command prints with `--json`, as types: `chipmeter schema` turns them into JSON Schema.

Most commands print a record of another room as it is; here are the others, and which command prints what.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from chipmeter._names import unknown_name
from chipmeter.chips.records import Chip, Price, PriceKind, Status, System
from chipmeter.cost.roofline import Limit
from chipmeter.evidence import Evidence, Figure, Grade
from chipmeter.workloads.workload import Unit


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    """What all outputs share: named fields, and no others."""


class Error(_Output, kw_only=True):
    """Error against exact arithmetic; null is an exact result, or what was not computed.

    Decibels; cosines of the network's output with that of the float32 network, only of networks that are run whole;
    `kl_nats` and `top1_agreement` only of decoders.
    """

    sqnr_db: float | None
    worst_sqnr_db: float | None
    worst_layer: str | None
    cosine: float | None
    worst_cosine: float | None
    kl_nats: float | UnsetType | None = UNSET
    top1_agreement: float | UnsetType = UNSET


class WaysApart(_Output):
    """How far two ways of one all-reduce are apart: codes at most, share of elements, decibels (null where equal)."""

    ways: tuple[str, str]
    max_ulp: int
    share: float
    sqnr_db: float | None


class ComparisonRow(Error, kw_only=True):
    """One chip and number format; per unit of work, which is a token or (encoders) a sequence; null is unknown."""

    chip: str
    chips: int
    format: str
    unit: str | None
    unit_grade: Grade | None
    recipe: str | None
    work_unit: str
    seconds_per_unit: float
    units_per_second: float
    memory_bytes: float
    fits: bool
    assumed_share_of_seconds: float
    joules_per_unit: float | None
    dollars_per_million_units: float | None
    price_kind: PriceKind | None
    price_date: str | None
    bottleneck: Limit
    grades: dict[str, Grade]
    assumptions: list[str]


class Comparison(_Output, kw_only=True):
    """The rows, with what they were computed on; `data` says what the error was measured on."""

    chipmeter: str
    tier: str
    machine: str
    model: str
    data: str
    synthetic: bool
    reference: Error
    rows: list[ComparisonRow]
    skipped: list[str]


class FrontierPoint(_Output, kw_only=True):
    """One chip, number format and recipe; `pareto` lists the axes on which no other point beats it."""

    chip: str
    chips: int
    format: str
    recipe: str
    unit: str
    unit_grade: Grade
    sqnr_db: float | None
    sqnr_db_low: float | None
    sqnr_db_high: float | None
    cosine: float | None
    kl_nats: float | UnsetType | None = UNSET
    top1_agreement: float | UnsetType = UNSET
    work_unit: str
    dollars_per_unit: float | None
    joules_per_unit: float | None
    seconds_per_unit: float
    fits: bool
    grades: dict[str, Grade]
    pareto: list[str]


class FrontierOutput(_Output, kw_only=True):
    """Every point, beaten or not."""

    chipmeter: str
    model: str
    data: str
    synthetic: bool
    points: list[FrontierPoint]
    skipped: list[str]


class FormatRow(_Output, kw_only=True):
    """One number format; `layout` is sign-exponent-fraction bits, "integer" or "table"."""

    name: str
    aliases: list[str]
    bits: int
    layout: str
    max: float
    smallest: float
    bias: int | UnsetType = UNSET
    infinity: bool | UnsetType = UNSET
    nan: str | UnsetType = UNSET


class UnitRow(_Output, kw_only=True):
    """One matrix unit; `model_kind` names the arithmetic, `model` holds its parameters."""

    name: str
    a: str
    b: str
    c: str
    d: str
    k: int
    model: dict[str, Any]
    evidence: Evidence
    scale: str | None
    scale_block: int
    model_kind: str
    aliases: list[str]


class Info(_Output, kw_only=True):
    """What a bug report needs."""

    chipmeter: str
    tier: str
    tiers: str
    cpu: str
    compiler: str
    threads: int
    cores: int
    python: str
    numpy: str
    platform: str


class VerifiedRow(_Output, kw_only=True):
    """One recorded output array: outputs compared, those that differ, those that no rule describes."""

    name: str
    compared: int
    mismatches: int
    unsupported: int


class Verification(_Output, kw_only=True):
    """Rows in the order of the recordings."""

    rows: list[VerifiedRow]


class Recorded(_Output, kw_only=True):
    """Where the recording is, in the layout that `verify` reads."""

    directory: str


class ChipRow(_Output, kw_only=True):
    """One chip of the catalogue; rates are the faster of plain and block-scaled, in FLOP/s; `price` the lowest one."""

    id: str
    name: str
    aliases: list[str]
    vendor: str
    launch: str
    status: Status
    bf16: Figure | None
    fp8: Figure | None
    fp4: Figure | None
    memory: Figure
    memory_bandwidth: Figure
    tdp: Figure | None
    price: dict[str, Any] | None
    evidence: Grade


def extended(record: type, **more: Any) -> Any:
    """Copy a record's fields into the type of an output, with further fields, or others in place of its own.

    >>> sorted(field.name for field in msgspec.structs.fields(extended(Evidence, page=int)))
    ['date', 'grade', 'page', 'source']
    """
    fields = [(name, kind) for name, kind in {**get_type_hints(record), **more}.items()]
    with_defaults = [(n, k, UNSET) if UnsetType in getattr(k, "__args__", ()) else (n, k) for n, k in fields]
    return msgspec.defstruct(
        record.__name__, with_defaults, kw_only=True, forbid_unknown_fields=True, namespace={"__doc__": record.__doc__}
    )


def _calibrate() -> Any:
    from chipmeter.cost.constants import Constants

    return dict[str, dict[str, dict[str, Constants]]]


def _chip() -> Any:
    price = extended(Price, dollars_per_chip_hour=float)
    return extended(Chip, systems=list[extended(System, prices=list[price], history=list[price])])  # type: ignore[valid-type, misc]


def _claim() -> Any:
    from chipmeter.claims.records import Check

    return Check


def _claims() -> Any:
    return list[_claim()]  # type: ignore[misc]


def _collective() -> Any:
    from chipmeter.collectives.timing import Timing

    return list[Timing]


def _estimate() -> Any:
    from chipmeter.cost import Estimate, Range

    results = ("joules_per_unit", "facility_joules_per_unit", "dollars_per_million_units")
    per_unit = dict.fromkeys(results, float | None)
    rates = dict.fromkeys([f"{unit}s_per_second" for unit in get_args(Unit)], float | UnsetType)
    return extended(
        Estimate, memory_bytes=float, fits=bool, ranges=dict[str, Range | None], **per_unit, **rates, **_even()
    )


def _even() -> dict[str, Any]:
    from chipmeter.cost import BreakEven

    return {"break_even": extended(BreakEven, says=str) | UnsetType}


def _serve() -> Any:
    from chipmeter.cost import ServingCurve

    return ServingCurve


def _factory() -> Any:
    from chipmeter.factory import FactoryPlan

    return FactoryPlan


def _identify() -> Any:
    from chipmeter.identification.records import Identification

    return extended(Identification, summary=str)


def _plan() -> Any:
    from chipmeter.planning import PlanSearch, Ranked

    ranked = extended(Ranked, layout=str, limits=dict[str, float], memory_bytes=float)
    return extended(PlanSearch, plans=list[ranked], **_even())  # type: ignore[valid-type]


def _plan_serving() -> Any:
    from chipmeter.planning import Deployment, ServingSearch

    return extended(ServingSearch, deployments=list[extended(Deployment, layout=str)], **_even())  # type: ignore[misc]


def _quantize() -> Any:
    from chipmeter.quantize.convert import Row

    return list[Row]


def _validate() -> Any:
    from chipmeter.validate.run import Report

    return Report


OUTPUTS: dict[str, Callable[[], Any]] = {
    "calibrate": _calibrate,
    "chips": lambda: list[ChipRow],
    "chips show": _chip,
    "claims": _claims,
    "claims NAME": _claim,
    "collective": _collective,
    "compare": lambda: Comparison,
    "estimate": _estimate,
    "factory": _factory,
    "formats": lambda: list[FormatRow],
    "frontier": lambda: FrontierOutput,
    "identify": _identify,
    "info": lambda: Info,
    "plan": _plan,
    "plan --prompt": _plan_serving,
    "quantize": _quantize,
    "record": lambda: Recorded,
    "reproducibility": lambda: list[WaysApart],
    "serve": _serve,
    "units": lambda: list[UnitRow],
    "validate": _validate,
    "verify": lambda: Verification,
}
"""The type of what each command prints with `--json`, read when it is asked for."""


def schema(command: str) -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of what a command prints with `--json`.

    >>> schema("info")["$defs"]["Info"]["properties"]["tier"]
    {'type': 'string'}
    """
    if command not in OUTPUTS:
        raise unknown_name("command", command, OUTPUTS)
    made = msgspec.json.schema(OUTPUTS[command]())
    for record in made["$defs"].values():
        _describe(record)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"chipmeter {command} --json", **made}


def _describe(record: dict[str, Any]) -> None:
    """Move what a record's docstring says of its fields to the fields."""
    summary, _, rest = inspect.cleandoc(record.get("description", "")).partition("\n\n")
    record["description"] = " ".join(summary.split())
    section = re.search(r"(?:^|\n)(?:Attributes|Parameters)\n-+\n(.*?)(?:\n\n\w+\n-+\n|$)", rest, re.DOTALL)
    for names, _, text in re.findall(
        r"^([\w, ]+?)( :.*)?\n((?:    .*\n?)*)", section[1] if section else "", re.MULTILINE
    ):
        for name in names.split(", "):
            if text and name in record["properties"]:
                record["properties"][name]["description"] = " ".join(text.split())
