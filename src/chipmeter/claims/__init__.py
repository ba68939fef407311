"""Claims: what vendors said of their chips, recomputed from the catalogue's figures and prices."""

from chipmeter.claims.check import check, checks
from chipmeter.claims.records import Check, Claim, Finding, Verdict

__all__ = ["Check", "Claim", "Finding", "Verdict", "check", "checks"]
