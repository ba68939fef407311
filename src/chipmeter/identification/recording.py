"""Keep a device's answers: an index and an npz that `chipmeter verify` reads."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import msgspec
import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter._version import __version__
from chipmeter.identification.search import answers_of, identify
from chipmeter.identification.sources import Source

PRODUCTS = 1024
"""Products in the columns that are kept of each matrix product."""


def record(source: Source, directory: str | os.PathLike[str], *, command: str = "") -> Path:
    """Record the answers of a black box to the products that `identify` compares.

    Written are `index.json` and `hw.npz` in the layout `hw-vectors/1` (docs/verify.md): a set per K, each with every
    row of A and as many columns of B as give 1024 products. The index also says the hardware, the driver, the date
    (UTC), the command, and which unit the answers agree with; without one, `chipmeter verify` counts the sets as
    unsupported.

    Parameters
    ----------
    source : Source
        See `chipmeter.identification.open_source`.
    directory : path
        Made if missing; must not hold an index.json.
    command : str
        How the recording was made.

    Returns
    -------
    Path
        The index.

    Raises
    ------
    ValueError
        For block-scaled operands, which the layout cannot hold; if there is a recording already; and for all that
        `identify` refuses.

    Examples
    --------
    >>> import tempfile
    >>> from chipmeter.verify import verify
    >>> from chipmeter.identification import open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record(open_source("unit:a100/fp16"), folder).name, sum(r.mismatches for r in verify(folder).rows)
    ('index.json', 0)
    """
    box, root = source.device, Path(directory)
    if box.scale is not None:
        raise ValueError(f"{box.name} takes block scales, which the layout hw-vectors/1 cannot hold")
    if (root / "index.json").exists():
        raise ValueError(f"{root / 'index.json'} exists; a recording is never overwritten")
    found = identify(
        box.matmul, box.types, addend=box.addend, scale=box.scale, scale_block=box.scale_block, describe=False
    )
    unit = next((name for name in found.matches if " " not in name), None)
    arrays: dict[str, list[list[AnyArray]]] = {}
    for batch, d in answers_of(box):
        columns = max(1, PRODUCTS // batch.a.shape[1])
        shape = (batch.a.shape[0], columns)
        kind = f"{'c' if batch.c is not None else 'c taken as 0'}, K = {batch.a.shape[1]}"
        kept = arrays.setdefault(kind, [[], [], [], []])
        kept[0].append(np.repeat(batch.a, columns, axis=0))
        kept[1].append(np.tile(batch.b.T[:columns], (shape[0], 1)))
        kept[2].append((np.zeros_like(d) if batch.c is None else batch.c)[:, :columns].reshape(-1))
        kept[3].append(d[:, :columns].reshape(-1))
    sets, raw = [], {}
    for number, (kind, parts) in enumerate(arrays.items()):
        names = {}
        for letter, part in zip("ABCD", parts, strict=True):
            whole = np.concatenate(part)
            names[letter] = f"{letter.lower()}{number}"
            raw[names[letter]] = np.ascontiguousarray(whole).view(f"u{whole.dtype.itemsize}")
        types = dict(zip("abcd", box.types, strict=True))
        arch, _, instruction = (unit or "unknown/?").partition("/")
        sets.append(
            {"gpu": source.hardware, "arch": arch, **types, "K": int(raw[names["A"]].shape[1]), "n": len(raw[names["D"]]),
             "path": f"{instruction.partition('.')[0]}, {kind}", "unit": unit, **names}
        )  # fmt: skip
    index = {
        "format": "hw-vectors/1",
        "layout": "A[n,K], B[n,K] (B is the column), C[n], D[n]; raw bit patterns; D = output of the device",
        "hardware": source.hardware,
        "driver": source.driver,
        "source": box.name,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "chipmeter": __version__,
        "agrees_with": list(found.matches),
        "file": "hw.npz",
        "sets": sets,
    }
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "hw.npz", **raw)  # type: ignore[arg-type]
    (root / "index.json").write_bytes(msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")
    return root / "index.json"
