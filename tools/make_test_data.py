"""Make the compact recordings under tests/data from full ones: same index formats, fewer tiles and elements.

Usage: python tools/make_test_data.py SOURCE DESTINATION, where SOURCE holds folders `matrix` and `quantisation`.
The full recordings were made by running the libraries that their indexes name. Nothing is computed here: outputs are
selected, and every selected output keeps its bits. Running it again on the same source gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from chipmeter.verify import verify

TILES_PER_CLASS = 2
ELEMENTS = {"elementwise_f32.npz": 1200, "exhaustive_fp16.npz": 1200}
"""Elements kept of each input, where not DEFAULT_ELEMENTS."""
DEFAULT_ELEMENTS = 200
BLOCKS = 20
WHOLE = {
    "decode_all_codes.npz", "mx_trainium_golden.npz", "nf4_int4_pack.npz", "swizzle_128x4_torchao-main.npz",
    "swizzle_128x4_torchao.npz",
}  # fmt: skip
"""Small files, or files whose outputs do not depend on single rows of the input."""
CORNERS = {
    "fp8_blockwise_te.npz": (2, 3), "fp8_blockwise_deepgemm.npz": (2, 3), "nvfp4_te.npz": (4, 1),
    "affine_int_torchao.npz": (8, 1),
}  # fmt: skip
"""Files of tiles: the part of the rows and of the columns that is kept, from the first on."""
DEPENDENT = ("int8_per_tensor",)
"""Outputs that depend on all rows of the input."""
STALE = ("counts", "v1", "spec_mismatch", "spec_mismatch_by_class", "params", "vendor", "shape")
"""Fields of a matrix row that describe the full set of tiles, or repeat what others say."""
GEMM_ROWS, GEMM_COLUMNS = 17, 6
"""Corner of each ragged GEMM that is kept, with its whole K."""


def matrix(source: Path, destination: Path) -> None:
    """Keep a few tiles of every class, and a corner of each ragged GEMM."""
    index = json.loads((source / "index.json").read_text())
    for name in sorted({row["file"] for row in index["rows"]}):
        with np.load(source / name, allow_pickle=False) as full:
            classes = full["cls"]
            kept = np.concatenate([spread(np.flatnonzero(classes == c), TILES_PER_CLASS) for c in np.unique(classes)])
            np.savez_compressed(destination / name, **{key: full[key][kept] for key in full.files})
    for row in index["rows"]:
        row["tiles"] = len(kept)
        for key in STALE:
            row.pop(key, None)
    index["tiles_per_row"] = len(kept)
    gemm = index["gemm"]
    with np.load(source / gemm["file"], allow_pickle=False) as full:
        corners = {}
        for case in gemm["cases"]:
            case["M"], case["N"] = GEMM_ROWS, GEMM_COLUMNS
            for which in case["arrays"]:
                rows = GEMM_ROWS if which in ("A", "C", "SA", "D") else None
                columns = GEMM_COLUMNS if which in ("B", "C", "SB", "D") else None
                key = f"{case['id']}_{which}"
                corners[key] = full[key][:rows, :columns]
        np.savez_compressed(destination / gemm["file"], **corners)
    part = f"{TILES_PER_CLASS} tiles of each class of inputs; {GEMM_ROWS} rows and {GEMM_COLUMNS} columns of each GEMM"
    write(destination / "index.json", {**index, "provenance": provenance(part)})


def quantisation(source: Path, destination: Path) -> None:
    """Keep the outputs that chipmeter describes, one per file that it does not, and a part of each input."""
    index = json.loads((source / "index.json").read_text())
    supported = {row.name for row in verify(source).rows if row.compared}
    files = {}
    for name, file in index["files"].items():
        arrays = keep(name, file["arrays"], supported)
        if not any(f"{name}:{key}" in supported for key in arrays):
            continue
        with np.load(source / name, allow_pickle=False) as full:
            if name in CORNERS:
                arrays = {key: entry for key, entry in arrays.items() if not key.startswith(DEPENDENT)}
                cut = {key: corner(full[key], *CORNERS[name]) for key in arrays}
            else:
                chosen = {} if name in WHOLE else choose(name, [full[k] for k, e in arrays.items() if is_values(k, e)])
                cut = {key: full[key][chosen.get(full[key].shape[0], slice(None))] for key in arrays}
        for key, entry in arrays.items():
            entry["shape"] = list(cut[key].shape)
        np.savez_compressed(destination / name, **cut)
        files[name] = {"arrays": arrays}
    part = f"up to {max(ELEMENTS.values())} elements or {BLOCKS} blocks of each input; outputs that chipmeter describes"
    write(destination / "index.json", {**index, "files": files, "provenance": provenance(part)})


def corner(full: np.ndarray[Any, Any], rows: int, columns: int) -> np.ndarray[Any, Any]:
    """Keep the first of so many parts of the rows and of the columns; vectors of single numbers stay whole."""
    if full.shape == (1,) or (columns == 1 and full.shape[0] <= 16):  # a tile is not cut
        return full
    if full.ndim == 1:
        return full[: DEFAULT_ELEMENTS if len(full) > 1000 else len(full) // rows]
    return full[: full.shape[0] // rows, : full.shape[1] // columns]


def is_input(entry: dict[str, Any]) -> bool:
    """Whether an array is an input."""
    return entry.get("role") == "input"


def is_values(key: str, entry: dict[str, Any]) -> bool:
    """Whether an array is an input of numbers, not of random bits or of flags beside one."""
    return is_input(entry) and entry["dtype"] != "int8" and key.rpartition("/")[2].startswith("x")


def keep(name: str, arrays: dict[str, Any], supported: set[str]) -> dict[str, Any]:
    """Select arrays: supported outputs, the first unsupported one, and the inputs above them."""
    lengths = {e["shape"][0] for k, e in arrays.items() if is_values(k, e)}
    others = [
        k for k, e in arrays.items() if not is_input(e) and f"{name}:{k}" not in supported and e["shape"][0] in lengths
    ]
    unsupported = others[: name not in WHOLE | {"nf4_int4_pack.npz"}]
    outputs = [k for k in arrays if f"{name}:{k}" in supported or k in unsupported]
    folders = {k: k.rpartition("/")[0] for k, e in arrays.items() if is_input(e)}
    used = {
        k
        for k, folder in folders.items()
        if not folder or folder == "mask" or any(o.startswith(f"{folder}/") for o in outputs)
    }
    return {k: e for k, e in arrays.items() if k in used or k in outputs}


def choose(name: str, inputs: list[np.ndarray[Any, Any]]) -> dict[int, np.ndarray[Any, Any]]:
    """Select positions along the first axis, by its length: evenly spread, and those of extreme values."""
    chosen = {}
    for raw in inputs:
        length = raw.shape[0]
        count = BLOCKS if raw.ndim > 1 else ELEMENTS.get(name, DEFAULT_ELEMENTS)
        magnitude = raw.reshape(length, -1) & np.array((1 << (8 * raw.dtype.itemsize - 1)) - 1, raw.dtype)
        order = np.argsort(magnitude.max(axis=1), kind="stable")  # by bits: zeros first, NaN last
        few = max(2, count // 30)
        ends = np.concatenate([spread(order[: length // 20], few), spread(order[-length // 20 :], 3 * few), order[-1:]])
        finite = order[magnitude.max(axis=1)[order] < infinity(raw.dtype)]
        chosen[length] = np.unique(np.concatenate([spread(np.arange(length), count), ends, finite[-1:]]))
    return chosen


def infinity(dtype: np.dtype[Any]) -> int:
    """Bits of infinity in the float of this width."""
    return {2: 0x7C00, 4: 0x7F800000, 8: 0x7FF0000000000000}[dtype.itemsize]


def spread(positions: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Pick `count` positions, evenly."""
    if len(positions) <= count:
        return positions
    return positions[np.linspace(0, len(positions) - 1, count).astype(np.int64)]


def provenance(part: str) -> str:
    """Say where the data come from."""
    return f"selected by tools/make_test_data.py from recordings of the named generators and versions: {part}"


def write(path: Path, index: dict[str, Any]) -> None:
    """Write an index, one record per line."""
    path.write_text(json.dumps(index, separators=(",", ":")).replace("},{", "},\n{") + "\n")


def main(source: str, destination: str) -> None:
    """Make both recordings."""
    for make in (matrix, quantisation):
        folder = Path(destination) / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        make(Path(source) / make.__name__, folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
