"""`chipmeter plan`: the best ways to train or serve a model on some chips, why the first wins, why others do not work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chipmeter.cli.options import elsewhere, json_option, print_json, print_table, report_option

if TYPE_CHECKING:
    from chipmeter.cost import BreakEven
    from chipmeter.planning import PlanSearch

SHORT = {
    "tp": "tensor",
    "pp": "pipeline",
    "vp": "virtual",
    "cp": "context",
    "ep": "expert",
    "dp": "data",
    "mbs": "micro",
}
"""Names of degrees as launch scripts have them."""

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
    "--disaggregated/--aggregated", default=None, help="Serving: only with, or without, copies that only read prompts."
)
@click.option(
    "--objective",
    help="Training: seconds (default), dollars, joules or pareto. Serving: tokens_per_second (default), tpot or ttft.",
)
@click.option("--top", type=int, default=5, show_default=True, help="Plans to show.")
@click.option("--every", is_flag=True, help="Show plans that differ in policies alone, too.")
@click.option("--format", "formats", callback=_words, default="bf16", show_default=True, help="Formats of products.")
@click.option("--price", default="on-demand", show_default=True, help="Kind of price: on-demand, capacity-block, ...")
@click.option("--memory", type=float, help="Training: GB of each chip that a plan may take; default all.")
@click.option(
    "--gradient-bytes", type=int, help="Training: bytes of a gradient, 4 or 2; default what the software keeps."
)
@click.option("--software", help="Whose measured runs to go by; training mbridge, serving vllm.")
@click.option("--ask", help="Judge a plan beside the best: tensor=8,pipeline=16,zero=1,recompute=full,...")
@click.option("--plan", "only", help="Price this plan alone: tp=8,pp=16,dp=128,zero=1,recompute=full,...")
@_choices
@click.option("--against", help="Another chip or system: at which price is this one cheaper?")
@click.option("--saving", type=float, default=0.5, show_default=True, help="Share to save over --against.")
@report_option
@json_option
def plan(
    model: str, chip: str | None, system: str | None, chips: tuple[int, ...], batch: int | None, seq: int | None,
    objective: str | None, formats: tuple[str, ...], software: str | None, every: bool, ask: str | None, only: str | None,
    memory: float | None, gradient_bytes: int | None, against: str | None, saving: float, report_path: str | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Find the best ways to train MODEL, or with --prompt and --answer to serve it: every plan that works is priced.

    Training plans combine data, tensor (with sequence), pipeline, context and expert parallelism, ZeRO 0 to 3, five
    pipeline schedules, microbatches and recomputation.
    """
    import msgspec

    choices = {name: given.pop(name) for name in (*DEGREES, "schedule", "recompute", "zero")}
    load = {name: given.pop(name) for name in ("prompt", "answer", "ttft", "tpot", "disaggregated")}
    where = {"chip": chip, "system": system, "format": formats, **given}
    if load["prompt"] is not None or load["answer"] is not None:
        from chipmeter.cli import deployments

        if report_path is not None:
            raise click.UsageError("--report is of training plans")

        deployments.show(model, chips, objective, software, load, where, against, saving, as_json)
        return
    if batch is None or seq is None:
        raise click.UsageError("give --batch and --seq to train, or --prompt and --answer to serve")

    from functools import partial

    from chipmeter.cost import break_even
    from chipmeter.planning import best_plan, layout
    from chipmeter.report.estimate import even_data

    asked = None if ask is None else _asked(ask, chips[0], formats[0], batch, seq)
    choices = {name: value for name, value in choices.items() if value is not None}
    limit = None if memory is None else memory * 1e9
    if only is not None:
        if choices or ask is not None or len(chips) > 1 or len(formats) > 1:
            raise click.UsageError(
                "--plan is one plan: give its degrees and policies within it, one --chips and one --format"
            )
        choices = _alone(_asked(only, chips[0], formats[0], batch, seq), model, where, limit, software or "mbridge")
        gradient_bytes = choices.pop("gradient_bytes") if gradient_bytes is None else gradient_bytes
    search = partial(
        best_plan, model, chips=chips, batch=batch, seq=seq, distinct=not every,
        objective=objective or "seconds", software=software or "mbridge", gradient_bytes=gradient_bytes,  # type: ignore[arg-type]
        memory=limit, **choices,
    )  # fmt: skip
    found = search(asked=asked, **where)
    even = None if against is None else break_even(found.best, search(**elsewhere(against, where)).best, saving)
    if report_path is not None:
        from chipmeter.report import page
        from chipmeter.report import plan as report

        page.write(report.page(found), report_path)
    if as_json:
        rows = [
            {**msgspec.to_builtins(one), "layout": layout(one.plan), "limits": one.limits, "memory_bytes": one.bytes}
            for one in found.plans
        ]
        print_json({**msgspec.to_builtins(found), "plans": rows, **even_data(even)})
        return
    print_table(_page(found, even))


def _asked(text: str, chips: int, format: str, batch: int, seq: int) -> Any:
    """Read a plan from words such as ``tensor=8,zero=3``."""
    from chipmeter._names import unknown_name
    from chipmeter.cost.plan import Plan

    cells: dict[str, Any] = {"chips": chips, "batch": batch, "seq": seq, "format": format}
    replicas = None
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        name = SHORT.get(name, name)
        if name == "data":
            replicas = _number(name, value)
            continue
        if name not in Plan.__struct_fields__ or not equals:
            raise unknown_name("field of a plan", name, Plan.__struct_fields__)
        cells[name] = value if name in ("schedule", "recompute", "format") else _number(name, value)
    plan = Plan(**cells)
    if replicas not in (None, plan.data):
        raise ValueError(
            f"data of a plan is what other degrees leave of {plan.chips} chips: {plan.data:g}, got {replicas}"
        )
    return plan


def _alone(plan: Any, model: str, where: dict[str, Any], memory: float | None, software: str) -> dict[str, Any]:
    """Check that a plan works, and narrow a search to it."""
    from chipmeter.planning import Space, price_plan

    site = {name: where[name] for name in ("chip", "system", "price")}
    found = price_plan(model, plan, memory=memory, software=software, **site).plan
    return {name: getattr(found, name) for name in Space.__struct_fields__ if name != "format"}


def _number(name: str, value: str) -> float | bool:
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name} of a plan must be a whole number, got {value!r}") from None


def _page(found: PlanSearch, even: BreakEven | None) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from chipmeter.report import plan as report

    def table(title: str, columns: tuple[str, ...], rows: list[list[str]]) -> Table:
        drawn = Table(box=box.SIMPLE, title=title, title_justify="left")
        for name in columns:
            drawn.add_column(name, justify="left" if name in report.WORDS else "right")
        for row in rows:
            drawn.add_row(*row)
        return drawn

    columns, rows = report.reasons(found)
    return Group(
        table(report.title(found), report.RANKING, report.ranking(found)),
        table("where the first plan's step goes, and what the second's takes more", columns, rows),
        table("what the first plan's memory holds", ("memory", "GB"), report.memory(found.best)),
        *(Text(line) for line in report.judged(found)),
        *([] if even is None else [Text(str(even), style="bold")]),
        Text("\n".join(f"- {line}" for line in report.notes(found)), style="dim"),
    )
