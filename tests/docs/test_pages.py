"""The pages hang together: links lead somewhere, the index names tutorials and guides, examples are there and run."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PARSER = doctest.DocTestParser()

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the tests of an installed wheel come without docs/")


def anchors(page: Path) -> set[str]:
    """The anchors that a forge, and MyST, give the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


@pytest.mark.parametrize("folder", ["tutorials", "howto", "kernels"])
def test_every_page_of_a_folder_is_on_the_index_and_has_examples(folder: str) -> None:
    """A page whose examples cannot be found would pass unseen."""
    index = (DOCS / "index.md").read_text()
    pages = sorted((DOCS / folder).glob("*.md"))
    assert pages
    for page in pages:
        assert f"]({folder}/{page.name})" in index
        if page.name != "kernel.md":  # seven steps in C and Python: nothing to run
            assert PARSER.get_examples(page.read_text()), f"{page.name} has no example"


def test_pytest_collects_the_examples() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "docs" in config["testpaths"]
    assert "--doctest-glob=*.md" in config["addopts"]


def test_the_code_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 (our own file)
