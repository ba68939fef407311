"""What one system does of a workload: the best batch within the limits, and the network where one system is too small."""

from __future__ import annotations

import pytest

from chipmeter.chips import system
from chipmeter.cost import estimate
from chipmeter.factory.capability import capability
from chipmeter.factory.records import Serving, Training
from chipmeter.workloads import preset

CHAT = Serving(
    name="chat", model="llama-3.1-8b", requests_per_second=10, input_tokens=1000, output_tokens=200, formats=("fp8",)
)


@pytest.mark.parametrize("tpot", [0.005, 0.02, 0.1])
def test_no_batch_within_the_limits_does_more(tpot: float) -> None:
    model, box = preset(CHAT.model), system("dgx_h200")
    found = capability(
        Serving(**{f: getattr(CHAT, f) for f in CHAT.__struct_fields__} | {"tpot": tpot}), model, box, 0.7
    )
    loads = []
    for group in (1, 2, 4, 8):
        first = estimate(model, system=box, phase="prefill", batch=1, seq=1000, format="fp8", tensor_parallel=group)
        for batch in (2**i for i in range(11)):
            step = estimate(
                model, system=box, phase="decode", batch=batch, context=1199, format="fp8", tensor_parallel=group
            )
            if step.fits and step.seconds + batch / 200 * first.seconds <= tpot:
                loads.append(10 * (first.seconds + 200 * step.seconds / batch) * group / 8)
    assert found.load == min(loads, default=float("inf"))


def test_a_model_that_needs_several_systems_waits_for_their_network() -> None:
    work = Training(name="tune", model="llama-3.1-8b", tokens=1e10, deadline_days=30)
    narrow, wide = (capability(work, preset(work.model), system(name), 0.7) for name in ("inf2.xlarge", "p5.48xlarge"))
    assert narrow.note.endswith("bound by the network between systems")
    seconds = narrow.load * 30 * 86400 / (1e10 / 4096)
    assert seconds == pytest.approx(3 * 2 * preset(work.model).parameters / 1.875e9, rel=1e-3)
    assert wide.least == 1
    assert "network" not in wide.note
