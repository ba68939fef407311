"""From a claim's name to its check."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from chipmeter._names import unknown_name
from chipmeter.claims import compute, cost, energy, fleet
from chipmeter.claims.records import Check, Claim, Finding, Verdict

Outcome = tuple[tuple[Finding, ...], tuple[str, ...], Verdict, str]

_CHECKS: dict[str, Callable[[], Outcome]] = {
    "trainium3-compute": compute.trainium3,
    "trainium-half-cost": cost.half_cost,
    "decart-half-cost": cost.decart,
    "trainium3-energy": energy.trainium3,
    "trainium4-energy": energy.trainium4,
    "million-chips": fleet.million_chips,
    "ai-factory": fleet.ai_factory,
    "gemini-tpu": fleet.gemini,
}


def check(name: str) -> Check:
    """Recompute one claim.

    Parameters
    ----------
    name : str
        Its id, such as ``"trainium3-compute"``.

    Raises
    ------
    UnknownNameError
        With the nearest ids.

    Examples
    --------
    >>> c = check("trainium3-compute")
    >>> c.verdict, round(c.findings[0].value, 2)
    ('holds if', 4.36)
    """
    if name not in _CHECKS:
        raise unknown_name("claim", name, _CHECKS)
    findings, assumptions, verdict, why = _CHECKS[name]()
    return Check(claim=_claims()[name], findings=findings, assumptions=assumptions, verdict=verdict, why=why)


def checks() -> tuple[Check, ...]:
    """Recompute every claim, in the order of the file.

    >>> len(checks())
    8
    """
    return tuple(check(name) for name in _claims())


@functools.cache
def _claims() -> dict[str, Claim]:
    text = (Path(__file__).parent / "data" / "claims.toml").read_text(encoding="utf-8")
    return {claim.id: claim for claim in msgspec.convert(tomllib.loads(text)["claims"], list[Claim])}
