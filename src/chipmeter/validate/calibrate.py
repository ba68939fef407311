"""Refitting the constants from tables of measurements: `chipmeter calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from chipmeter.cost.constants import Constants, book, write_book
from chipmeter.validate import diffusion, fit_network, network, neuron, node, serving, training
from chipmeter.validate.fit_ops import LEAST_ROWS, Books, fit_attention, fit_engines, fit_gemm, fit_power
from chipmeter.validate.shapes import Shapes, read_shapes
from chipmeter.validate.tables import Table, read_folder, read_table


def _power(table: Table) -> Books:
    """Refit what a power table determines: other engines' times where it gives latencies, and watts at those times."""
    return merge(fit_engines(table) if "latency_us" in table.columns else {}, fit_power(table))


def merge(*several: Books) -> Books:
    """Put constants together; later ones win."""
    whole: Books = {}
    for books in several:
        for chip, kinds in books.items():
            for kind, variants in kinds.items():
                whole.setdefault(chip, {}).setdefault(kind, {}).update(variants)
    return whole


FITS: dict[str, Callable[[Table], Books]] = {
    "op_gemm": fit_gemm,
    "op_attention": fit_attention,
    "energy_op_power": _power,
}


def calibrate(table: Table) -> Books:
    """Refit the constants that a table determines, by its name or else by its columns.

    Raises
    ------
    ValueError
        If neither tells what was measured, or no group of rows is large enough.
    """
    by_columns = (
        _power if "power_W" in table.columns else fit_attention if "kv_heads" in table.columns
        else fit_gemm if {"m", "n", "k"} <= set(table.columns) else None
    )  # fmt: skip
    chosen = FITS.get(table.name, by_columns)
    if chosen is None:
        raise ValueError(
            f"{table.name}: cannot tell what was measured; columns m, n, k and latency_us (matrix products), kv_heads "
            f"(attention) or power_W are understood"
        )
    found = chosen(table)
    if not found:
        raise ValueError(f"{table.name}: no chip and format has {LEAST_ROWS} rows; nothing was fitted")
    return found


def save(books: Books, folder: Path) -> list[Path]:
    """Write one file per chip, keeping the kinds and variants that were not refitted."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chip, kinds in sorted(books.items()):
        merged = {kind: dict(variants) for kind, variants in book(chip).items()}
        path = folder / f"{chip}.toml"
        if path.is_file():
            merged = msgspec.toml.decode(path.read_bytes(), type=dict[str, dict[str, Constants]])
        for kind, variants in kinds.items():
            merged.setdefault(kind, {}).update(variants)
        write_book(path, chip, merged)
        paths.append(path)
    return paths


def refit(path: Path) -> Books:
    """Refit from one table, or from every table of a folder that determines constants.

    Training, serving, pictures and machines are fitted from folders only: each needs all its tables, and
    the shapes of the models beside them.

    Raises
    ------
    ValueError
        If nothing there determines any; for a single table also if it cannot be told what was measured.
    """
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(f"{path} is neither a file nor a folder")
        return calibrate(read_table(path))
    books: Books = {}
    tables = {table.name: table for table in read_folder(path)}
    for name in (name for name in FITS if name in tables):
        for chip, kinds in calibrate(tables[name]).items():
            for kind, variants in kinds.items():
                books.setdefault(chip, {}).setdefault(kind, {}).update(variants)
    for chip, kind, found in _programs(tables, read_shapes(path)):
        books.setdefault(chip, {}).setdefault(kind, {}).update(found)
    if not books:
        raise ValueError(f"no table in {path} determines constants; understood: {', '.join(FITS)}")
    return books


def refit_collectives(path: Path, out: Path) -> bool:
    """Refit the constants of collectives where a folder holds both their tables, into `timing.toml`; False elsewhere."""
    tables = {table.name: table for table in read_folder(path)} if path.is_dir() else {}
    if not set(network.TABLES) <= set(tables):
        return False
    fit_network.write(fit_network.fit([row for name in network.TABLES for row in network.read_rows(tables[name])]), out)
    return True


def _programs(tables: dict[str, Table], shapes: Shapes) -> Iterator[tuple[str, str, dict[str, Constants]]]:
    """Fit everything that is not a single operation: book, kind, constants by name."""
    steps = [tables[name] for name in training.TABLES if name in tables]
    if steps:
        yield "training", "training", training.fit_training(steps, shapes)
    if set(serving.READERS) & set(tables):
        yield "serving", "serving", serving.fit_serving(tables, shapes)
    for name, table in ((key, tables[key]) for key in diffusion.NAMES if key in tables):
        yield "serving", "pictures", {diffusion.NAMES[name]: diffusion.fit_pictures(table)}
    if "energy_training_mlperf" in tables:
        yield "network", "power", {"node": node.fit_nodes(tables["energy_training_mlperf"])}
    if "nki_kernels" in tables:
        yield "trn2", "kernels", {"nki": neuron.fit_kernels(tables["nki_kernels"])}
