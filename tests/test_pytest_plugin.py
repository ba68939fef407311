"""The plugin's fixture judges, skips on other devices, fills pytest-benchmark's extra_info and prints a summary."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TEST = """
    import chipmeter as cm
    import pytest

    SECONDS = cm.testing.bound("h100", cm.ops.Gemm(512, 512, 512, "bf16")).seconds

    @pytest.mark.parametrize("reached", [0.8, 0.6])
    def test_gemm(roofline, reached):
        op = cm.ops.Gemm(512, 512, 512, "bf16")
        roofline(chip="h100", op=op).assert_at_least(0.7, seconds=SECONDS / reached)
"""


def test_passes_and_fails_by_the_fraction_and_tells(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess("--chip", "h100")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*60.0% of the roofline*wanted at least 70.0%*"])
    result.stdout.fnmatch_lines(["*share of the roofline*", "*80.0%*us*h100_sxm*test_gemm*"])


@pytest.mark.parametrize(
    ("options", "reason"), [((), "*the device is not known*"), (("--chip", "b200"), "*the device is b200*")]
)
def test_other_devices_skip_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], reason: str
) -> None:
    monkeypatch.delenv("CHIPMETER_CHIP", raising=False)
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess("-rs", *options)
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines([reason])


def test_a_cuda_device_is_recognised_by_its_name(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHIPMETER_CHIP", raising=False)
    pytester.makepyfile(
        """
    import sys, types

    cuda = types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "NVIDIA H100 80GB HBM3")
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
    """
        + TEST
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1, failed=1)


def test_an_unknown_chip_is_one_clear_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess("--chip", "h1000")
    result.stdout.fnmatch_lines(["*unknown chip 'h1000'; did you mean 'h100'*"])


BENCHMARK = """
    import time
    import chipmeter as cm

    def test_gemm(roofline, benchmark):
        benchmark.pedantic(time.sleep, args=(0.001,), rounds=3)
        reached = roofline(chip="h100", op=cm.ops.Copy(1 << 20)).of(benchmark)
        assert benchmark.extra_info["chip"] == "h100_sxm"
        assert benchmark.extra_info["roofline_fraction"] == reached < 1
"""


def test_a_benchmark_carries_its_fraction(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # pytest-benchmark times nothing where it sees that
    pytester.makepyfile(BENCHMARK)
    pytester.runpytest_subprocess("--chip", "h100", "--benchmark-enable").assert_outcomes(passed=1)


def test_a_benchmark_that_times_nothing_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BENCHMARK)
    result = pytester.runpytest_subprocess("--chip", "h100", "--benchmark-disable", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*pytest-benchmark is disabled, so nothing was timed*"])


def test_a_benchmark_that_has_not_run_is_one_clear_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(
        """
        import chipmeter as cm

        def test_gemm(roofline, benchmark):
            roofline(chip="h100", op=cm.ops.Copy(1 << 20)).of(benchmark)
        """
    )
    result = pytester.runpytest_subprocess("--chip", "h100", "--benchmark-enable")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the benchmark fixture has not run: call benchmark(...) before .of(benchmark)*"])


def test_loading_the_plugin_imports_no_chipmeter_beyond_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_heavy():
            assert "chipmeter.cost" not in sys.modules
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
