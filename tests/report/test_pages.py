"""Pages open in a real browser without errors, draw and hover, fit a phone, follow dark mode, and keep hostile names text."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import chipmeter as cm
from chipmeter.factory import plan_factory
from chipmeter.frontier import Frontier
from chipmeter.report import page, pages

EXAMPLE = Path(__file__).parents[2] / "examples" / "factory.toml"
HOSTILE = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def result() -> Frontier:
    return cm.frontier("gpt2", chips=["h100", "b200", "trn2"], formats=["bf16", "fp8", "nvfp4"], layers=1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=executable, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield opened
        opened.close()


def open_page(browser: Any, file: Path, **options: Any) -> tuple[Any, list[str]]:
    """Open a file without a network; also give what the console said and what failed or was asked of the network."""
    tab = browser.new_context(offline=True, **options).new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    tab.goto(file.as_uri())
    tab.wait_for_function("!document.querySelector('.figure') || document.querySelectorAll('.figure .main-svg').length")
    return tab, said


def test_every_kind_of_result_has_a_page(tmp_path: Path, result: Frontier, browser: Any) -> None:
    made = {
        "frontier": pages.frontier_page(result),
        "compare": pages.comparison_page(cm.compare("gpt2", chips=["h100"], formats=["bf16", "fp8"], layers=1)),
        "estimate": pages.estimate_page(cm.estimate("llama-3.1-8b", "h100", batch=8)),
        "factory": pages.factory_page(plan_factory(EXAMPLE)),
    }
    for name, one in made.items():
        file = tmp_path / f"{name}.html"
        page.write(one, file)
        assert file.stat().st_size < 6e6
        tab, said = open_page(browser, file)
        assert said == [], name
        assert tab.locator(".verdict").inner_text() == one.verdict
        assert tab.locator(".figure .main-svg").count() >= len(one.figures)
        assert tab.locator("table").count() == len(one.tables)


def test_hovering_a_point_tells_it(tmp_path: Path, result: Frontier, browser: Any) -> None:
    page.write(pages.frontier_page(result), tmp_path / "f.html")
    tab, _ = open_page(browser, tmp_path / "f.html", viewport={"width": 1200, "height": 900})
    box = tab.locator(".figure .points path").first.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_selector(".hoverlayer .hovertext")
    assert "SQNR" in tab.locator(".hoverlayer").first.text_content()


@pytest.mark.parametrize("width", [390, 1200])
def test_no_page_is_wider_than_the_screen(tmp_path: Path, result: Frontier, browser: Any, width: int) -> None:
    page.write(pages.frontier_page(result), tmp_path / "f.html")
    tab, _ = open_page(browser, tmp_path / "f.html", viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_ground_has_light_ink(tmp_path: Path, result: Frontier, browser: Any) -> None:
    page.write(pages.frontier_page(result), tmp_path / "f.html")
    tab, _ = open_page(browser, tmp_path / "f.html", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    tab.wait_for_function("getComputedStyle(document.querySelector('.xtick text')).fill === 'rgb(230, 237, 243)'")


def test_a_hostile_name_stays_text(tmp_path: Path, result: Frontier, browser: Any) -> None:
    model = replace(result.model, name=HOSTILE) if hasattr(result.model, "__dataclass_fields__") else None
    if model is None:
        import msgspec

        model = msgspec.structs.replace(result.model, name=HOSTILE)
    points = tuple(replace(p, recipe=HOSTILE) for p in result.points)
    one = pages.frontier_page(replace(result, model=model, points=points))
    page.write(one, tmp_path / "f.html")
    tab, said = open_page(browser, tmp_path / "f.html")
    assert said == []
    assert tab.title() == one.title
    assert HOSTILE in tab.locator("h1").inner_text()


def test_the_same_page_gives_the_same_text(result: Frontier) -> None:
    assert page.html(pages.frontier_page(result)) == page.html(pages.frontier_page(result))


def test_a_path_that_cannot_be_written_is_one_clear_error(tmp_path: Path, result: Frontier) -> None:
    with pytest.raises(OSError, match=r"cannot write the report to .*none"):
        page.write(pages.frontier_page(result), tmp_path / "none" / "f.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="cannot write the report"):
        page.write(pages.frontier_page(result), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
