"""`chipmeter info`: what a bug report needs."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from chipmeter.cli.options import json_option, print_json


@click.command()
@json_option
def info(as_json: bool) -> None:
    """Print version, instruction-set tier, CPU, compiler and threads."""
    import numpy as np

    import chipmeter
    from chipmeter import _kernels
    from chipmeter._threads import available_cores, thread_count

    facts = {
        "chipmeter": chipmeter.__version__,
        "tier": chipmeter.tier(),
        "tiers": " ".join(chipmeter.tiers()),
        "cpu": cpu_name(),
        "compiler": _kernels.compiler(),
        "threads": thread_count(None),
        "cores": available_cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<10} {value}")


def cpu_name() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
