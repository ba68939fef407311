"""A plan file that is wrong is refused with its line and field; one that is right keeps every value."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipmeter.factory import Serving, read_plan

EXAMPLE = Path(__file__).parents[2] / "examples" / "factory.toml"
TEXT = EXAMPLE.read_text()


def line_of(text: str, found: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if line.startswith(found))


def test_the_example() -> None:
    plan = read_plan(EXAMPLE)
    assert plan.months == 36
    chat = plan.workloads[0]
    assert isinstance(chat, Serving)
    assert (chat.name, chat.formats, chat.on_premises, chat.tpot) == ("clinical-chat", ("bf16", "fp8"), True, 0.06)
    assert plan.limits.power == 1e6
    assert plan.site.pue == 1.25


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("requests_per_second = 40", "requests_per_second = -40", "requests_per_second = -40", "requests_per_second"),
        ("requests_per_second = 40", "requests_per_second = inf", "requests_per_second = inf", "requests_per_second"),
        ("ttft = 3.0", "tfft = 3.0", "tfft", "unknown field `tfft`"),
        ("months = 36", 'months = "36"', "months", "months: Expected `int`"),
        ("months = 36", "months = 0", "months", "months must lie in 1..240, got 0"),
        ("capex = 30e6", "capx = 30e6", "capx", "unknown field `capx`"),
        ("at_most = 4", "at_most = 0", "at_most = 0", "at_most must be at least 1"),
        ('price = "capacity-block"', 'price = "free"', 'price = "free"', "Invalid enum value 'free'"),
        ("tokens = 20e9", "tokens = nan", "tokens = nan", "tokens must be a finite number"),
        ("at_most = 4", "dollars_per_hour = 4.0", "dollars_per_hour", "dollars_per_hour is for rented systems"),
    ],
)  # fmt: skip
def test_line_and_field(tmp_path: Path, old: str, new: str, line: str, message: str) -> None:
    text = TEXT.replace(old, new, 1)
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match="plan") as caught:
        read_plan(file)
    said = str(caught.value)
    assert message in said
    assert said.startswith(f"{file}:{line_of(text, line)}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("months = ", "not a TOML file"),
        ("", "months"),
        ("months = 3\nworkloads = []\nsystems = []", "workloads must not be empty"),
        ("months = 3\nworkloads = 5\nsystems = []", "workloads: Expected `array`"),
        ("limits = 5\nmonths = 3", "limits: Expected `object`"),
        ("site = 5\nmonths = 3", "site: Expected `object`"),
    ],
)
def test_whole_files_that_are_no_plan(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"plan\.toml") as caught:
        read_plan(file)
    assert message in str(caught.value)


def test_bytes_that_are_no_text_and_files_too_long(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not a TOML file"):
        read_plan(file)
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ValueError, match="at most"):
        read_plan(file)


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        (
            (('tenure = "own"', 'tenure = "rent"'), ('system = "dgx_h200"', 'system = "p5.48xlarge"')),
            7,
            "workload 'clinical-chat' has on_premises = true, but no system has tenure 'own'",
        ),
        ((('name = "public-site"', 'name = "clinical-chat"'),), 19, "workload 'clinical-chat': name is given twice"),
        ((('system = "gb200_nvl72"', 'system = "dgx_h200"'),), 40, "system 'dgx_h200' is listed twice as own"),
    ],
)
def test_contradictions(tmp_path: Path, changes: tuple[tuple[str, str], ...], line: int, message: str) -> None:
    text = TEXT
    for old, new in changes:
        text = text.replace(old, new)
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match="plan") as caught:
        read_plan(file)
    assert str(caught.value) == f"{file}:{line}: {message}"
