"""The records of a claim: what was said, what the figures give, and the verdict."""

from __future__ import annotations

from typing import Literal

import msgspec

from chipmeter.evidence import Grade, weakest

Verdict = Literal["holds", "holds if", "not reproducible"]
"""`holds`: the published figures give it. `holds if`: they give it under the stated condition. `not reproducible`: what
it would take to check it is not published, or the figures contradict it."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public statement.

    Attributes
    ----------
    id, title : str
    said : str
        What was said, in our words with the vendor's numbers.
    who, date : str
        Who said it and when.
    source : str
        Where it was read.
    grade : str
        How sure we are that this is what was said.
    unstated : tuple of str
        What the statement leaves open.
    """

    id: str
    title: str
    said: str
    who: str
    date: str
    source: str
    grade: Grade
    unstated: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure computed from the catalogue.

    Attributes
    ----------
    what : str
    value : float
    unit : str
        Empty for a ratio.
    how : str
        The computation, with its numbers.
    grade : str
        The weakest of the inputs.
    """

    what: str
    value: float
    unit: str
    how: str
    grade: Grade


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A claim beside what specifications and prices give.

    Attributes
    ----------
    claim : Claim
    findings : tuple of Finding
    assumptions : tuple of str
        What must be assumed for the claim to follow.
    verdict : str
        See `Verdict`.
    why : str
        The verdict in a sentence; for "holds if" it states the condition.
    """

    claim: Claim
    findings: tuple[Finding, ...]
    assumptions: tuple[str, ...]
    verdict: Verdict
    why: str

    @property
    def grade(self) -> Grade:
        """The weakest grade of the findings."""
        return weakest(*(finding.grade for finding in self.findings))
