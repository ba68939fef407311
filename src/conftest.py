"""Doctests of rooms that need an extra run where it is installed."""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("torch") else ["chipmeter/torch.py"]
