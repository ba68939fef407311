"""A result as one HTML page that needs no network: a verdict, figures one can hover, tables, and what they rest on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chipmeter._tiers import tier
from chipmeter._version import __version__
from chipmeter.report.extras import needs


@dataclass(frozen=True)
class Drawing:
    """A plotly figure with its title, and a note below it."""

    title: str
    figure: Any
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column's title, and whether it holds numbers."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table of text."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Lines:
    """A list under a heading that folds."""

    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Page:
    """The content of a page; all text is escaped when it is written."""

    title: str
    verdict: str
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Sheet, ...] = ()
    lists: tuple[Lines, ...] = ()
    footer: str = field(default_factory=lambda: f"chipmeter {__version__}, {tier()}")


def html(page: Page) -> str:
    """Write a page as HTML; the same page gives the same text.

    Raises
    ------
    ImportError
        If Jinja2 or plotly is not installed, saying what to install.
    """
    jinja = needs("jinja2")
    folder = Path(__file__).parent / "templates"
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader(folder), autoescape=True, trim_blocks=True, undefined=jinja.StrictUndefined
    )
    plotly = needs("plotly.offline").get_plotlyjs() if page.figures else ""
    figures = "[" + ",".join(_script_safe(drawing.figure.to_json()) for drawing in page.figures) + "]"
    text: str = environment.get_template("page.html").render(page=page, plotly=plotly, figures=figures)
    return text


def write(page: Page, path: str | os.PathLike[str]) -> None:
    """Write a page to a file, whole or not at all; a device, a pipe or what a link leads to is written as it stands.

    Raises
    ------
    OSError
        If it cannot be written there; nothing is left behind.
    ImportError
        As for `html`.
    """
    text = html(page)
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    special = target.is_symlink() or (
        target.exists() and not target.is_file()
    )  # a rename would put a file in its place
    try:
        if special:
            target.write_text(text, encoding="utf-8")
        else:
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
    except OSError as error:
        if not special:
            partial.unlink(missing_ok=True)
        raise OSError(f"cannot write the report to {target}: {error.strerror or error}") from None


def _script_safe(figure: str) -> str:
    """Keep JSON inside a script element from ending it or being read as markup.

    >>> "<" in _script_safe('{"a": "</script><b>"}')
    False
    """
    text = json.dumps(json.loads(figure), separators=(",", ":"), sort_keys=True)
    for character, code in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, code)
    return text
