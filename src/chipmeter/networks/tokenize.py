"""Sentences to token ids, by the `tokenizers` library and the model's own tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tokenizer"]


class Tokenizer:
    """A model's tokenizer, with our own padding: to the longest sentence of the batch and no further.

    Parameters
    ----------
    path : str or Path
        A tokenizer.json, or the model folder that holds one.
    max_tokens : int
        Sentences are cut after so many tokens, special ones included. The default is all-MiniLM-L6-v2's own.

    Raises
    ------
    ModuleNotFoundError
        Without the `tokenizers` package; the message has the line that installs it.
    FileNotFoundError, ValueError
        If there is no file, if `max_tokens` is below 1, or if the file is no tokenizer.
    """

    def __init__(self, path: str | Path, *, max_tokens: int = 256) -> None:
        try:
            import tokenizers
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "sentences need the tokenizers package: pip install 'chipmeter[demo]'", name="tokenizers"
            ) from error
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}; at least 1 is accepted")
        file = Path(path)
        if file.is_dir():
            file = file / "tokenizer.json"
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; give a tokenizer.json or the folder that holds one")
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception for a file that it cannot read
            raise ValueError(f"{file}: not a tokenizer.json that the tokenizers library accepts: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)

    def encode(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give token ids and the mask that says which are tokens and which are padding.

        Parameters
        ----------
        sentences : sequence of str

        Returns
        -------
        ids : (sentences, longest) int64
            0 where padded; the encoder never reads those.
        mask : (sentences, longest) bool
        """
        if isinstance(sentences, str):
            raise TypeError("got one string; a sequence of sentences is accepted, such as [sentence]")
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(sentences))]
        lengths = np.array([len(row) for row in rows], np.int64)
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = [token for row in rows for token in row]
        return ids, mask
