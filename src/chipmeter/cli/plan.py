"""`chipmeter plan`: the best ways to train or serve a model on some chips, why the first wins, why others do not work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chipmeter.cli.options import json_option, print_json, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from chipmeter.planning import PlanSearch, Ranked

DEGREES = ("tensor", "pipeline", "virtual", "context", "expert", "micro")


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(word) for word in value.split(","))
    except ValueError:
        raise click.BadParameter("expected whole numbers separated by commas") from None


def _words(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(word.strip() for word in value.split(","))


def _choices(command: Any) -> Any:
    """Add what narrows the search."""
    for name in reversed(DEGREES):
        command = click.option(f"--{name}", callback=_numbers, help=f"Only these {name} degrees or sizes.")(command)
    for name in ("schedule", "recompute"):
        command = click.option(f"--{name}", callback=_words, help="Only these, separated by commas.")(command)
    return click.option("--zero", callback=_numbers, help="Only these ZeRO stages, 0 to 3.")(command)


@click.command()
@click.argument("model")
@click.option("--chip", help="A chip of the catalogue.")
@click.option("--system", help="A system one rents: gives the chip, its networks and the price.")
@click.option("--chips", required=True, callback=_numbers, help="Chips in all; of several numbers each is tried.")
@click.option("--batch", type=int, help="Training: sequences per step.")
@click.option("--seq", type=int, help="Training: tokens per sequence.")
@click.option("--prompt", type=int, help="Serving: tokens of a request's prompt.")
@click.option("--answer", type=int, help="Serving: tokens of its answer.")
@click.option("--ttft", type=float, help="Serving: seconds to the first token, at most.")
@click.option("--tpot", type=float, help="Serving: seconds between tokens, at most.")
@click.option(
    "--objective",
    help="Training: seconds (default), dollars, joules or pareto. Serving: tokens_per_second (default), tpot or ttft.",
)
@click.option("--top", type=int, default=5, show_default=True, help="Plans to show.")
@click.option("--every", is_flag=True, help="Show plans that differ in policies alone, too.")
@click.option("--format", "formats", callback=_words, default="bf16", show_default=True, help="Formats of products.")
@click.option("--price", default="on-demand", show_default=True, help="Kind of price: on-demand, capacity-block, ...")
@click.option("--software", help="Whose measured runs to go by; training mbridge, serving vllm.")
@click.option("--ask", help="Judge a plan: tensor=8,pipeline=16,zero=1,recompute=full,...")
@_choices
@json_option
def plan(
    model: str, chip: str | None, system: str | None, chips: tuple[int, ...], batch: int | None, seq: int | None,
    objective: str | None, formats: tuple[str, ...], software: str | None, every: bool, ask: str | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Find the best ways to train MODEL, or with --prompt and --answer to serve it: every plan that works is priced.

    Training plans combine data, tensor (with sequence), pipeline, context and expert parallelism, ZeRO 0 to 3, five
    pipeline schedules, microbatches and recomputation.
    """
    import msgspec

    choices = {name: given.pop(name) for name in (*DEGREES, "schedule", "recompute", "zero")}
    load = {name: given.pop(name) for name in ("prompt", "answer", "ttft", "tpot")}
    where = {"chip": chip, "system": system, "format": formats, **given}
    if load["prompt"] is not None or load["answer"] is not None:
        from chipmeter.cli import deployments

        deployments.show(model, chips, objective, software, load, where, as_json)
        return
    if batch is None or seq is None:
        raise click.UsageError("give --batch and --seq to train, or --prompt and --answer to serve")

    from chipmeter.planning import best_plan, layout

    asked = None if ask is None else _asked(ask, chips[0], formats[0], batch, seq)
    choices = {name: value for name, value in choices.items() if value is not None}
    found = best_plan(
        model, chips=chips, batch=batch, seq=seq, distinct=not every, asked=asked,
        objective=objective or "seconds", software=software or "mbridge", **where, **choices,  # type: ignore[arg-type]
    )  # fmt: skip
    if as_json:
        rows = [
            {**msgspec.to_builtins(one), "layout": layout(one.plan), "limits": one.limits, "memory_bytes": one.bytes}
            for one in found.plans
        ]
        print_json({**msgspec.to_builtins(found), "plans": rows})
        return
    print_table(_page(found))


def _asked(text: str, chips: int, format: str, batch: int, seq: int) -> Any:
    """Read a plan from words such as ``tensor=8,zero=3``."""
    from chipmeter._names import unknown_name
    from chipmeter.cost.plan import Plan

    cells: dict[str, Any] = {"chips": chips, "batch": batch, "seq": seq, "format": format}
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if name not in Plan.__struct_fields__ or not equals:
            raise unknown_name("field of a plan", name, Plan.__struct_fields__)
        cells[name] = value if name in ("schedule", "recompute", "format") else _number(name, value)
    return Plan(**cells)


def _number(name: str, value: str) -> float | bool:
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name} of a plan must be a whole number, got {value!r}") from None


def _page(found: PlanSearch) -> Any:
    from rich.console import Group
    from rich.text import Text

    where = found.system or found.chip
    many = ", ".join(f"{number:,}" for number in found.chips)
    title = f"{found.model} on {many} x {found.chip}{'' if found.system is None else f' ({where})'}, "
    title += f"{found.batch:,} sequences of {found.seq:,} tokens, by {found.objective}"
    pieces: list[Any] = [_ranking(found, title), _reasons(found)]
    pieces += [Text(line) for line in _judged(found)]
    fallen = ", ".join(f"{name} {count:,}" for name, count in found.broken.items())
    pieces.append(
        Text(
            f"\n{found.examined:,} plans examined: {found.legal:,} work, {found.unfit:,} do not fit the memory; the "
            f"others break a rule ({fallen or 'none'})"
        )
    )
    notes = ["outside what was measured: the interval is wider"] if found.outside else []
    pieces.append(Text("\n".join(f"- {line}" for line in (*notes, *found.assumptions)), style="dim"))
    return Group(*pieces)


def _ranking(found: PlanSearch, title: str) -> Table:
    from rich import box
    from rich.table import Table

    from chipmeter.planning import layout
    from chipmeter.report.numbers import si

    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    table.add_column("plan", justify="left")
    for name in ("step", "90 % interval", "tokens/s", "MFU", "memory", "energy", "price", "limit"):
        table.add_column(name, justify="left" if name == "limit" else "right")
    for one in found.plans:
        chips = f"{one.plan.chips:,} chips: " if len(found.chips) > 1 else ""
        limit, seconds = next(iter(one.limits.items()))
        table.add_row(
            chips + layout(one.plan),
            f"{one.seconds:.3f} s",
            f"{one.low:.3f}-{one.high:.3f}",
            si(one.tokens_per_second, ""),
            f"{one.mfu:.1%}",
            f"{one.bytes / 1e9:.0f} of {one.capacity / 1e9:.0f} GB",
            "unknown" if one.joules is None else si(one.joules, "J"),
            "unknown" if one.dollars is None else f"${one.dollars:.4g}",
            f"{limit} {seconds / sum(one.parts.values()):.0%}",
        )
    return table


def _reasons(found: PlanSearch) -> Table:
    """Lay the first plan's parts beside the second's: what wins, and what the memory goes to."""
    from rich import box
    from rich.table import Table

    first = found.best
    second: Ranked | None = found.plans[1] if len(found.plans) > 1 else None
    title = "where the first plan's step goes" + ("" if second is None else ", and what the second's takes more")
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    for name in ("part", "seconds", "share", *(() if second is None else ("second", "more")), "memory", "GB"):
        table.add_column(name, justify="left" if name in ("part", "memory") else "right")
    gaps = {} if second is None else first.against(second)
    order = [name for name in gaps or first.parts if first.parts[name] or gaps.get(name)]
    memory = [
        *first.memory.items(),
        ("in all", first.bytes),
        ("first stage", first.stages[0]),
        ("last", first.stages[-1]),
    ]
    for row in range(max(len(order), len(memory))):
        cells = ["", "", "", *(() if second is None else ("", ""))]
        if row < len(order):
            seconds = first.parts[order[row]]
            cells = [order[row].replace("_", " "), f"{seconds:.3f}", f"{seconds / first.seconds:.1%}"]
            if second is not None:
                cells += [f"{second.parts[order[row]]:.3f}", f"{gaps[order[row]]:+.3f}"]
        held = memory[row] if row < len(memory) else None
        cells += ["", ""] if held is None else [held[0], f"{held[1] / 1e9:.1f}"]
        table.add_row(*cells)
    return table


def _judged(found: PlanSearch) -> list[str]:
    """Say what is wrong with a plan asked about, and which works; or what it takes."""
    from chipmeter.planning import layout

    asked = found.asked
    if asked is None:
        return []
    lines = [f"asked: {layout(asked.plan)}"]
    lines += [f"  does not work: {fault}" for fault in asked.faults]
    if asked.nearest is None:
        return [*lines, "  no plan for these chips works"]
    one, best = asked.nearest, found.best
    name = "it works" if not asked.faults else f"nearest that works: {layout(one.plan)}"
    return [*lines, f"  {name}: {one.seconds:.3f} s, {one.seconds / best.seconds:.2f} times the best"]
