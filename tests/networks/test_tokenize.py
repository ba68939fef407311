"""The tokenizer wrapper pads and cuts on its own, names what is missing, and the sentences and the finder are sound."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from chipmeter.networks import PAIRS, SENTENCES, Tokenizer, find_minilm
from chipmeter.networks.locate import MINILM_FILES, MINILM_PACKAGE


class StandIn:
    """Behaves as tokenizers.Tokenizer does where the wrapper calls it: one token per letter, padded until told not to."""

    @classmethod
    def from_file(cls, path: str) -> "StandIn":
        if Path(path).read_text() != "{}":
            raise Exception("expected `{`")  # noqa: TRY002 - as the library does
        return cls()

    def __init__(self) -> None:
        self.padded_to, self.most = 128, 128

    def no_padding(self) -> None:
        self.padded_to = 0

    def enable_truncation(self, max_length: int) -> None:
        self.most = max_length

    def encode_batch(self, sentences: list[str]) -> list[SimpleNamespace]:
        rows = [[ord(letter) for letter in sentence][: self.most] for sentence in sentences]
        return [SimpleNamespace(ids=row + [0] * (self.padded_to - len(row))) for row in rows]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    library = ModuleType("tokenizers")
    library.Tokenizer = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tokenizers", library)
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
def test_a_batch_is_padded_to_its_longest_sentence(model: Path, name: str) -> None:
    ids, mask = Tokenizer(model / name).encode(["abc", "d", ""])
    assert ids.dtype == np.int64
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(ids, [[97, 98, 99], [100, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [1, 0, 0], [0, 0, 0]])


def test_long_sentences_are_cut(model: Path) -> None:
    ids, mask = Tokenizer(model, max_tokens=2).encode(["abc", "d"])
    np.testing.assert_array_equal(ids, [[97, 98], [100, 0]])
    assert mask.sum() == 3


def test_no_sentences_give_no_rows(model: Path) -> None:
    ids, mask = Tokenizer(model).encode([])
    assert ids.shape == mask.shape == (0, 0)


def test_wrong_arguments_are_named(model: Path) -> None:
    with pytest.raises(TypeError, match="got one string; a sequence"):
        Tokenizer(model).encode("abc")
    with pytest.raises(ValueError, match="max_tokens is 0"):
        Tokenizer(model, max_tokens=0)
    with pytest.raises(FileNotFoundError, match=r"gone.json: no such file; give a tokenizer.json"):
        Tokenizer(model / "gone.json")
    (model / "tokenizer.json").write_text("x")
    with pytest.raises(ValueError, match=r"tokenizer.json: not a tokenizer.json .*expected"):
        Tokenizer(model)


def test_without_the_library_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'chipmeter\[demo\]'"):
        Tokenizer(tmp_path)


def test_sixteen_different_sentences_in_pairs() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) == 16
    assert tuple(zip(SENTENCES[::2], SENTENCES[1::2], strict=True)) == PAIRS


def test_the_package_is_found_by_its_files_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / MINILM_PACKAGE
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_minilm() is None
    for name in MINILM_FILES:
        (package / "model" / name).touch()
    assert find_minilm() == package / "model"


def test_without_the_package_there_is_nothing_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_minilm() is None


def test_importing_the_networks_imports_no_framework() -> None:
    heavy = "{'torch', 'tokenizers', 'transformers', 'safetensors'}"
    code = f"import sys, chipmeter.networks; chipmeter.networks.find_minilm(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
