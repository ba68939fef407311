"""`import chipmeter` in a fresh interpreter, files in the page cache, against `import numpy` there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def run(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True)


def test_import(paired: Any) -> None:
    paired(lambda: run("import chipmeter"), lambda: run("import numpy"), meaning="x import numpy")


def test_help(paired: Any) -> None:
    help_ = "import sys; sys.argv = ['chipmeter', '--help']; import chipmeter.cli as c; c.main(standalone_mode=False)"
    paired(lambda: run(f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {help_}"),
           lambda: run("import numpy"), meaning="x import numpy")  # fmt: skip
