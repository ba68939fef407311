"""Compare this commit with its merge base in one job; exit 1 if a case became slower by more than the limit.

    python bench/gate.py --base origin/main [--limit 1.10] [--rounds 5] [--json gate.json]

Both commits are built and installed apart. Instructions in the kernels are counted by callgrind, where valgrind is installed:
the same to the last digit each run, so a small rise is real (valgrind knows no AVX-512; it sees the v3 tier). Times are
taken in processes that alternate A B B A, and the median of the ratios of neighbours counts; a case over the limit is measured
once more before it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CASES = ROOT / "bench" / "gate_cases.py"


def build(revision: str, into: Path) -> Path:
    """Install a revision's wheel into a folder of its own."""
    into.mkdir()
    tree = into / "tree"
    subprocess.run(
        ["git", "worktree", "add", "--detach", "--force", tree, revision], cwd=ROOT, check=True, capture_output=True
    )
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", into / "site", tree],
            check=True,
        )
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True, capture_output=True)
    return into / "site"


def environment(site: Path) -> dict[str, str]:
    """Let a process import that build."""
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


def seconds(site: Path) -> dict[str, float]:
    """Time every case in one process of a build."""
    done = subprocess.run([sys.executable, CASES], env=environment(site), check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def ratios(base: Path, head: Path, rounds: int) -> dict[str, float]:
    """Median over rounds of head over base, both orders in each round."""
    pairs: dict[str, list[float]] = {}
    for _ in range(rounds):
        a, b, c, d = seconds(base), seconds(head), seconds(head), seconds(base)
        for name in a.keys() & b.keys():
            pairs.setdefault(name, []).extend([b[name] / a[name], c[name] / d[name]])
    return {name: statistics.median(found) for name, found in pairs.items()}


def instructions(site: Path, name: str) -> int | None:
    """Count the instructions that a case executes inside the kernels; None where it cannot be counted."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        done = subprocess.run(
            [
                "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
                "--toggle-collect=cm_*_x86_64_*", sys.executable, CASES, name,
            ],
            env=environment(site), capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
        return int(found[1]) or None if found else None


def main() -> int:
    """Build, measure, judge, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the merge base is taken with this revision")
    parser.add_argument("--limit", type=float, default=1.10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    merge = subprocess.run(
        ["git", "merge-base", "HEAD", options.base], cwd=ROOT, check=True, capture_output=True, text=True
    )
    revision = merge.stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        base, head = (build(r, Path(folder) / n) for r, n in ((revision, "base"), ("HEAD", "head")))
        times = ratios(base, head, options.rounds)
        suspects = {name for name, ratio in times.items() if ratio > options.limit}
        if suspects:
            again = ratios(base, head, options.rounds)
            times.update({name: min(times[name], again[name]) for name in suspects})
        counts: dict[str, tuple[int, int]] = {}
        if shutil.which("valgrind"):
            for name in times:
                a, b = instructions(base, name), instructions(head, name)
                if a and b:
                    counts[name] = (a, b)
    rows = []
    for name, ratio in sorted(times.items()):
        count = counts.get(name)
        grown = count[1] / count[0] if count else None
        bad = ratio > options.limit or (grown is not None and grown > options.limit)
        rows.append(
            {"case": name, "time_ratio": ratio, "instructions": count, "instruction_ratio": grown, "slower": bad}
        )
        told = "" if grown is None else f"  instructions {grown:.4f}"
        print(f"{'SLOWER' if bad else 'ok':7s} {name:24s} time {ratio:.3f}{told}")
    if options.json:
        options.json.write_text(json.dumps({"base": revision, "limit": options.limit, "cases": rows}, indent=1))
    slower = [row["case"] for row in rows if row["slower"]]
    print(f"{len(rows)} cases against {revision[:12]}; {len(slower)} slower by more than {options.limit - 1:.0%}")
    return bool(slower)


if __name__ == "__main__":
    sys.exit(main())
