"""Sixteen sentences in eight pairs: the two of a pair mean nearly the same in other words.

A sound encoder puts each sentence nearest to its partner; arithmetic that is too coarse begins to mix the pairs up.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PAIRS", "SENTENCES"]

PAIRS: Final[tuple[tuple[str, str], ...]] = (
    ("The train to the coast leaves at noon.", "At twelve o'clock there is a train to the seaside."),
    ("She repaired the old clock by herself.", "Without any help, she fixed the antique clock."),
    ("Prices of electricity rose sharply last winter.", "Power became much more expensive in the cold months."),
    ("The cat is asleep on the warm windowsill.", "A kitten naps in the sun by the window."),
    ("He lost his keys somewhere in the park.", "His keys went missing while he walked among the trees."),
    ("The bakery sells fresh bread every morning.", "You can buy new loaves there at the start of each day."),
    ("Heavy rain flooded the streets of the town.", "The roads were under water after the storm."),
    ("The new processor multiplies matrices very quickly.", "Matrix products are fast on this chip."),
)

SENTENCES: Final[tuple[str, ...]] = tuple(sentence for pair in PAIRS for sentence in pair)
"""The pairs in one row: sentences 2i and 2i + 1 belong together."""
