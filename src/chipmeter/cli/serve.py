"""`chipmeter serve`: throughput against latency of a deployment."""

from __future__ import annotations

from typing import Any

import click

from chipmeter.cli.options import json_option, print_json, print_table, report_option


def _loads(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        found = [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"expected whole numbers separated by commas, got {value!r}") from None
    if min(found) < 1:
        raise click.BadParameter(f"expected numbers of at least 1, got {value!r}")
    return found


@click.command()
@click.argument("model")
@click.option("--chip", help="A chip of the catalogue.")
@click.option("--system", help="A system one rents: gives the chip, its network and the price.")
@click.option("--prompt", type=int, default=1024, show_default=True, help="Tokens of a prompt.")
@click.option("--answer", type=int, default=256, show_default=True, help="Tokens of an answer.")
@click.option("--request-rate", type=float, help="Requests per second: print what they get.")
@click.option("--concurrency", callback=_loads, help="Requests in flight, separated by commas; default powers of two.")
@click.option("--format", default="bf16", show_default=True, help="Number format of matrix operands.")
@click.option("--weight-format", help="Format in which weights are stored, if another.")
@click.option("--kv-format", help="Format of the key-value cache: bf16, fp8, int8, ...")
@click.option("--tensor-parallel", type=int, help="Chips of one copy of the model; default the fewest that fit.")
@click.option("--copies", type=int, default=1, show_default=True, help="Copies that requests are spread over.")
@click.option("--prefill-copies", type=int, default=0, help="Further copies that read prompts for the others.")
@click.option("--chunk", type=int, help="Tokens of a prompt that a step reads at most.")
@click.option("--page", type=int, default=16, show_default=True, help="Tokens of a page of the cache.")
@click.option("--draft", help="Model that drafts tokens, for speculative decoding.")
@click.option("--draft-tokens", type=int, default=3, show_default=True, help="Tokens drafted before each check.")
@click.option("--acceptance", type=float, default=0.7, show_default=True, help="Share of drafted tokens that hold.")
@click.option("--engine", default="vllm", show_default=True, help="Whose runs to go by: vllm, trtllm, sglang.")
@click.option("--price", default="on-demand", show_default=True, help="Kind of price: on-demand, capacity-block, ...")
@report_option
@json_option
def serve(
    model: str, draft: str | None, draft_tokens: int, acceptance: float, report_path: str | None, as_json: bool, price: Any,
    **asked: Any,
) -> None:  # fmt: skip
    """Predict throughput, time to the first token and time per token of MODEL under load."""
    import msgspec

    from chipmeter.cost import Draft
    from chipmeter.cost import serve as run
    from chipmeter.report import serving
    from chipmeter.workloads import find_model

    helper = None
    if draft is not None:
        helper = Draft(model=find_model(draft), tokens=draft_tokens, acceptance=acceptance)
    result = run(model, draft=helper, price=price, **asked)
    if report_path is not None:
        from chipmeter.report import page

        page.write(serving.page(result), report_path)
    if as_json:
        print_json(msgspec.to_builtins(result))
    else:
        print_table(serving.table(result))
