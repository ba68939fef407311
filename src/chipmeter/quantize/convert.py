"""A whole checkpoint, file to file, one tensor at a time; a run that was killed goes on where it stopped.

All work is done in the folder `<destination>.partial`; what is finished moves to its name at the end. Memory is that
of the largest tensor: its values in float32 and its codes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter._safetensors_write import Entry, header_bytes, refuse_existing, stored_as, sync_folder
from chipmeter._version import __version__
from chipmeter.checkpoint import INDEX_NAME, Checkpoint
from chipmeter.quantize.journal import Journal, journal_path
from chipmeter.quantize.measured import quantize_measured
from chipmeter.quantize.patterns import Rule, parse_rule, recipe_for
from chipmeter.quantize.recipes import Recipe
from chipmeter.quantize.storage import METADATA_KEY, Description, directory_json, dismantle

QUANTISED_DTYPES = ("F32", "F16", "BF16")


class Row(msgspec.Struct, frozen=True):
    """What became of one tensor.

    Attributes
    ----------
    name, dtype : str
        As in the source.
    shape : tuple of int
    recipe : str or None
        None where the tensor was kept as it was.
    bits : float
        Stored bits per element, scales included.
    sqnr : float or None
        Decibels; None where the tensor is kept, exact, or holds NaN or infinity.
    max_error : float or None
        Largest absolute difference.
    nbytes : int
    clipped, flushed : int
        Elements that saturation cut, and elements other than zero that became zero.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    recipe: str | None
    bits: float
    sqnr: float | None
    max_error: float | None
    nbytes: int
    clipped: int = 0
    flushed: int = 0


class _Value(msgspec.Struct, frozen=True):
    """What a line of the journal means."""

    entries: tuple[Entry, ...]
    row: Row
    described: Description | None


def quantize_checkpoint(
    source: str | Path,
    destination: str | Path,
    recipes: Iterable[str],
    *,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[Row]:
    """Quantise the matrices of a safetensors checkpoint into another.

    Parameters
    ----------
    source : str or Path
        A file, or a folder of shards; it is only read.
    destination : str or Path
        A file if the source is one, else a folder; shards keep their names.
    recipes : iterable of str
        "RECIPE" for every matrix, "PATTERN=RECIPE" for those whose names match; the last that matches counts, and the
        recipe "keep" leaves a tensor as it is. Blocks run along the last axis. Only F32, F16 and BF16 tensors are
        quantised.
    overwrite : bool
        Whether files at the destination may be replaced.
    threads : int, optional
    progress : callable, optional
        Told the tensor's name and the share of bytes done.

    Returns
    -------
    list of Row
        One for each tensor, in the order of the source; also of those that an earlier, killed run wrote.

    Raises
    ------
    FileExistsError
        If the destination exists.
    ValueError
        For a malformed source, an unknown recipe, a pattern that matches nothing, or a partial folder of another run.
    OSError
        If the disk is full; what is done is kept for the next run.
    """
    rules = [parse_rule(text) for text in recipes]
    if not rules:
        raise ValueError("give at least one recipe, such as 'mxfp8'")
    checkpoint, target = Checkpoint(source), Path(destination)
    plan = _plan(checkpoint, rules)
    refuse_existing(target, overwrite)
    if target.exists() and target.is_dir() != checkpoint.path.is_dir():
        raise ValueError(f"{target}: a {'folder' if target.is_dir() else 'file'} cannot take the place of the other")
    work = target.with_name(target.name + ".partial")
    if os.path.lexists(work) and not work.is_dir():
        raise FileExistsError(f"{work}: in the way of the folder that unfinished work is kept in")
    work.mkdir(parents=True, exist_ok=True)
    shards: dict[Path, list[str]] = {}
    for name, info in checkpoint.tensors.items():
        shards.setdefault(info.path, []).append(name)
    total = sum(info.nbytes for info in checkpoint.tensors.values()) or 1
    done = 0

    def told(name: str) -> None:
        nonlocal done
        done += checkpoint.tensors[name].nbytes
        if progress is not None:
            progress(name, done / total)

    rows: dict[str, Row] = {}
    for path, names in shards.items():
        file = work / path.name
        rows.update(_write_shard(checkpoint, path, names, plan, file, threads, told))
    finished = [work / path.name for path in shards]
    if checkpoint.path.is_dir():
        _install_folder(checkpoint, rows, finished, target)
    elif finished:
        os.replace(finished[0], target)
    for file in finished:
        journal_path(file).unlink()
    (work / INDEX_NAME).unlink(missing_ok=True)
    work.rmdir()
    sync_folder(target.parent)
    return [rows[name] for name in checkpoint.tensors]


def _plan(checkpoint: Checkpoint, rules: list[Rule]) -> dict[str, Recipe | None]:
    """Choose every tensor's recipe before anything is written."""
    if not len(checkpoint):
        raise ValueError(f"{checkpoint.path}: holds no tensors")
    for rule in rules:
        if not any(rule.matches(name) for name in checkpoint):
            raise ValueError(f"{checkpoint.path}: no tensor's name matches the pattern {rule.pattern!r}")
    plan: dict[str, Recipe | None] = {}
    for name, info in checkpoint.tensors.items():
        recipe = recipe_for(name, len(info.shape), rules)
        if recipe is not None and info.dtype == "F64":
            raise ValueError(
                f"{info.path}: tensor {name!r} is F64, which would be rounded twice; leave it with '{name}=keep'"
            )
        plan[name] = recipe if info.dtype in QUANTISED_DTYPES and 0 not in info.shape else None
    return plan


def _write_shard(
    checkpoint: Checkpoint,
    path: Path,
    names: list[str],
    plan: dict[str, Recipe | None],
    file: Path,
    threads: int | None,
    told: Callable[[str], None],
) -> dict[str, Row]:
    """Write one file, or what is missing of it, and its header at the end."""
    recipes = list(dict.fromkeys(recipe for name in names if (recipe := plan[name]) is not None))
    kept = {k: v for k, v in checkpoint.metadata_by_file[path].items() if k != METADATA_KEY}
    room = _room(checkpoint, names, kept, recipes)
    task = _task(checkpoint, path, names, plan, room)
    journal = Journal(file, room, task)
    try:
        values = [msgspec.convert(line.value, _Value) for line in journal.lines]
        for value in values:
            told(value.row.name)
        for name in names[len(values) :]:
            pieces, value = _convert(checkpoint, name, plan[name], recipes, journal.position - room, threads)
            journal.append(pieces, msgspec.to_builtins(value))
            del pieces  # not beside the next tensor's
            values.append(value)
            told(name)
        described = {v.row.name: v.described for v in values if v.described is not None}
        if described:
            kept[METADATA_KEY] = directory_json(recipes, described)
        journal.finish(header_bytes([e for v in values for e in v.entries], kept, room))
    finally:
        journal.close()
    return {value.row.name: value.row for value in values}


def _convert(
    checkpoint: Checkpoint, name: str, recipe: Recipe | None, recipes: list[Recipe], at: int, threads: int | None
) -> tuple[list[AnyArray], _Value]:
    """Give one tensor's bytes, and what the header and the table say of it."""
    info, array = checkpoint.tensors[name], checkpoint[name]
    if recipe is None:
        raw = array.reshape(-1).view(np.uint8)
        entry = Entry(name, info.dtype, info.shape, at, at + raw.nbytes)
        bits = 8 * raw.nbytes / max(1, int(np.prod(info.shape)))
        return [raw], _Value((entry,), Row(name, info.dtype, info.shape, None, bits, None, None, raw.nbytes), None)
    x = array.astype(np.float32)
    q, error = quantize_measured(x, recipe, threads=threads)
    arrays, described = dismantle(name, q, recipes.index(recipe))
    pieces, entries = [], []
    for stored, part in arrays.items():
        if stored != name and stored in checkpoint:
            raise ValueError(f"{info.path}: the scales of {name!r} need the name {stored!r}, which is taken")
        dtype, raw = stored_as(part, stored)
        entries.append(Entry(stored, dtype, part.shape, at, at + raw.nbytes))
        pieces.append(raw)
        at += raw.nbytes
    nbytes = sum(p.nbytes for p in pieces)
    row = Row(
        name,
        info.dtype,
        info.shape,
        recipe.name,
        8 * nbytes / x.size,
        _finite(error.sqnr),
        _finite(error.max_error),
        nbytes,
        error.clipped,
        error.flushed,
    )
    return pieces, _Value(tuple(entries), row, described)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _room(checkpoint: Checkpoint, names: list[str], metadata: dict[str, str], recipes: list[Recipe]) -> int:
    """Bytes that the header will fit in, whatever the offsets become: twenty digits for every number."""
    texts = [msgspec.to_builtins(recipe) for recipe in recipes]
    room = 4096 + 2 * len(msgspec.json.encode(metadata)) + 2 * len(msgspec.json.encode(texts))
    for name in names:
        numbers = 20 * (len(checkpoint.tensors[name].shape) + 3)
        room += 8 * (2 * 6 * len(name) + 200 + 2 * numbers)  # a character of a name may take six when escaped
    return -(-room // 4096) * 4096


def _task(checkpoint: Checkpoint, path: Path, names: list[str], plan: dict[str, Recipe | None], room: int) -> bytes:
    """One line that is alike for two runs exactly if one may go on where the other stopped."""
    state = path.stat()
    facts: dict[str, Any] = {
        "version": __version__,
        "source": [str(path.resolve()), state.st_size, state.st_mtime_ns],
        "room": room,
        "plan": [(name, plan[name] and msgspec.to_builtins(plan[name])) for name in names],
        "tensors": [msgspec.to_builtins(checkpoint.tensors[name], enc_hook=str) for name in names],
    }
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest().encode()


def _install_folder(checkpoint: Checkpoint, rows: dict[str, Row], finished: list[Path], target: Path) -> None:
    """Move finished shards to their names, and then the index that makes a checkpoint of them."""
    target.mkdir(exist_ok=True)
    index = finished[0].parent / INDEX_NAME
    weights: dict[str, str] = {}
    for file in finished:
        for name in Checkpoint(file):
            weights[name] = file.name
    total = {"total_size": sum(row.nbytes for row in rows.values())}
    with index.open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode({"metadata": total, "weight_map": weights}), indent=2))
        out.flush()
        os.fsync(out.fileno())
    (target / INDEX_NAME).unlink(missing_ok=True)
    for file in finished:
        os.replace(file, target / file.name)
    os.replace(index, target / INDEX_NAME)
    sync_folder(target)
