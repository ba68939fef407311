"""`chipmeter estimate`: time, memory, energy and dollars of one step, with what they rest on."""

from __future__ import annotations

from typing import Any

import click

from chipmeter.cli.options import json_option, nearest_format, place, print_json, print_table, report_option


@click.command()
@click.argument("model")
@click.option("--chip", help="A chip of the catalogue.")
@click.option("--system", help="A system one rents or buys: gives the chip, its network and the price.")
@click.option("--phase", help="prefill, decode or train; an encoder: encode or train.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences per step.")
@click.option("--seq", type=int, help="New tokens per sequence.")
@click.option("--context", type=int, help="Tokens per sequence already in the cache.")
@click.option("--source", type=int, help="Tokens of each source that an encoder-decoder answers.")
@click.option("--width", type=int, help="Pixels of a picture to generate.")
@click.option("--height", type=int, help="Pixels of a picture to generate.")
@click.option("--frames", type=int, help="Frames of a video to generate.")
@click.option("--steps", type=int, help="Steps of the denoiser.")
@click.option("--chips", "sharing", type=int, help="Chips that share each pass of the denoiser.")
@click.option("--compiled", is_flag=True, help="The denoiser runs as a compiled graph.")
@click.option("--format", default="bf16", show_default=True, help="Number format of matrix operands.")
@click.option("--weight-format", help="Format in which weights are stored, if another.")
@click.option("--kv-format", help="Format of the key-value cache: bf16, fp8, int8, ...")
@click.option("--tensor-parallel", type=int, help="Chips that share each layer; default the fewest that fit.")
@click.option("--accumulate", type=int, default=1, help="Microbatches per training step.")
@click.option(
    "--recompute", default="none", show_default=True, help="What training computes again: none, selective, full."
)
@click.option("--lora", type=int, default=0, help="Train adapters of this rank only.")
@click.option("--software", help="Whose measured runs to go by: vllm, trtllm, sglang; mbridge, torchtitan, ...")
@click.option(
    "--price",
    default="on-demand",
    show_default=True,
    help="Kind of price: on-demand, capacity-block, reserved-1y, reserved-3y, spot, owned; or dollars per chip-hour.",
)
@click.option("--date", help="Go by the price quoted then: 2026, 2026-01, ...")
@click.option("--region", help="Go by the price quoted for a region.")
@click.option("--pue", type=float, help="Power of your site over that of its machines.")
@click.option("--against", help="Another chip or system: at which price and power is this one cheaper?")
@click.option("--saving", type=float, default=0.5, show_default=True, help="Share to save over --against.")
@click.option("--against-format", help="Number format there; default the same, or the nearest it has.")
@report_option
@json_option
def estimate(
    model: str,
    against: str | None,
    saving: float,
    against_format: str | None,
    price: str,
    width: int | None,
    height: int | None,
    frames: int | None,
    steps: int | None,
    sharing: int | None,
    compiled: bool,
    report_path: str | None,
    as_json: bool,
    **asked: Any,
) -> None:  # fmt: skip
    """Estimate one step of MODEL on a chip or system: low, expected and high of every result, and what it rests on.

    MODEL is a preset, a config.json or a folder with one, a diffusion transformer such as flux or hunyuanvideo, a .csv
    file of GEMM shapes (m, n, k, count), or an .onnx graph.
    """
    from chipmeter.cost import break_even
    from chipmeter.cost import estimate as run
    from chipmeter.report import estimate as report
    from chipmeter.workloads import Generation

    sizes = {"width": width, "height": height, "frames": frames, "steps": steps, "chips": sharing}
    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    asked["picture"] = Generation(**given, compiled=compiled) if given or compiled else None
    result = run(model, price=_price(price), **asked)
    even = None
    if against is not None:
        other = {**asked, "tensor_parallel": None, **place(against)}
        other["format"] = against_format or nearest_format(other, asked["format"])
        even = break_even(result, run(model, price=_price(price), **other), saving)
    if report_path is not None:
        from chipmeter.report import page, pages

        page.write(pages.estimate_page(result), report_path)
    if as_json:
        print_json(report.data(result, even))
    else:
        print_table(report.table(result, even))


def _price(text: str) -> Any:
    """Read a kind of price, or dollars per chip-hour."""
    from chipmeter.chips import Price

    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        return text
    return Price(kind="on-demand", dollars_per_hour=value, chips=1, grade="assumed", source="given")
