"""A real MPI, where mpi4py and mpiexec are installed: four processes reduce, and every rank's bits equal the emulation's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chipmeter.collectives import all_reduce

RANKS, COUNT = 4, 1003
PROGRAM = """
import sys
import numpy as np
from mpi4py import MPI
comm = MPI.COMM_WORLD
x = np.load(sys.argv[1])[comm.rank]
y = np.empty_like(x)
comm.Allreduce(x, y, MPI.SUM)
np.save(f"{sys.argv[2]}/{comm.rank}.npy", y)
if comm.rank == 0:
    print(MPI.Get_library_version())
"""
# name here: Open MPI's number, MPICH's name
ALGORITHMS = {
    "linear": ("1", None),
    "recursive_doubling": ("3", "recursive_doubling"),
    "ring": ("4", "ring"),
    "rabenseifner": ("6", "reduce_scatter_allgather"),
}


def mpiexec() -> str | None:
    """The launcher beside this Python, else the one on the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
@pytest.mark.skipif(mpiexec() is None, reason="no mpiexec beside this Python or on the path")
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_rank_has_the_emulated_bits(name: str, tmp_path: Path) -> None:
    number, mpich = ALGORITHMS[name]
    settings = {
        "OMPI_MCA_coll": "basic,tuned,libnbc,inter,self",
        "OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
        "OMPI_MCA_coll_tuned_allreduce_algorithm": number,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMP_NUM_THREADS": "1",
    }
    if mpich:
        settings["MPIR_CVAR_ALLREDUCE_INTRA_ALGORITHM"] = mpich
    x = np.random.default_rng(3).standard_normal((RANKS, COUNT)).astype(np.float32)
    x *= np.float32([[1e6], [1], [-1e6], [1e-3]])
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "program.py").write_text(PROGRAM)
    launcher = mpiexec()
    assert launcher is not None
    command = [launcher, "-n", str(RANKS), sys.executable, "program.py", "x.npy", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    library = "openmpi" if "Open MPI" in done.stdout else "mpich"
    if library == "mpich" and mpich is None:
        pytest.skip(f"{name} is an algorithm of Open MPI; this is {done.stdout.splitlines()[0]}")
    want = all_reduce(x, f"{library}/{name}")
    for rank in range(RANKS):
        assert np.load(tmp_path / f"{rank}.npy").tobytes() == want[rank].tobytes(), (library, rank)
