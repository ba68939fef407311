"""Builds the compiled kernels: every file of csrc/ once per instruction-set tier, linked into one extension.

All metadata is in pyproject.toml; this file holds only what setuptools cannot say declaratively.
"""

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

CSRC = Path("csrc")
# compiled once per tier: table.c and each family's folder
KERNELS = [
    str(CSRC / "table.c"),
    *sorted(str(p) for p in CSRC.glob("*/*.c") if p.parent.name != "tests" and not p.name.endswith(".inc.c")),
]
HEADERS = sorted(str(p) for pattern in ("*.h", "*/*.h", "*/*.inc.c") for p in CSRC.glob(pattern))
DOORS = sorted(str(p) for p in Path("src/chipmeter/_doors").glob("*.pxi"))

# Two roundings must never become one (contraction), and no flag of the caller may relax IEEE arithmetic: the last
# flag wins, so these stand after CFLAGS, at compile and at link (gcc links crtfastmath.o when it sees -ffast-math).
STRICT = [
    "-std=gnu11",
    "-O3",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wno-psabi",
]
if os.environ.get("CHIPMETER_WERROR") == "1":
    STRICT.append("-Werror")

MACHINE = platform.machine().lower()
if MACHINE in ("x86_64", "amd64"):
    TIERS = {
        "x86-64-v2": ["-march=x86-64-v2"],
        "x86-64-v3": ["-march=x86-64-v3"],
        "x86-64-v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
        # Ice Lake, Zen 4 and later: byte dot products and population counts
        "x86-64-v4-vnni": [
            "-march=x86-64-v4",
            "-mprefer-vector-width=512",
            *(f"-mavx512{more}" for more in ("vnni", "vbmi", "vbmi2", "vpopcntdq", "bitalg")),
        ],
    }
elif MACHINE in ("aarch64", "arm64"):
    TIERS = {"aarch64-neon": []}
else:
    TIERS = {"generic": []}
TIERS_DEFINED = [(f"CHIPMETER_HAVE_{name.replace('-', '_').upper()}", "1") for name in TIERS]

DEBUG = os.environ.get("CHIPMETER_CYTHON_DEBUG") == "1"
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "embedsignature": True,
    "embedsignature.format": "python",
    "freethreading_compatible": True,
    "autotestdict": False,
}
ABI3 = sys.implementation.name == "cpython" and not getattr(sys, "_is_gil_enabled", lambda: True)() is False


class BuildExt(build_ext):
    """Compile the kernels per tier into folders of their own and hand the objects to the one extension."""

    def build_extension(self, ext):
        def compile_tier(tier):
            return self.compiler.compile(
                KERNELS,
                output_dir=os.path.join(self.build_temp, "tiers", tier),
                include_dirs=[str(CSRC)],
                macros=[("CHIPMETER_TIER", tier.replace("-", "_")), ("CHIPMETER_TIER_NAME", f'"{tier}"')],
                extra_postargs=[*STRICT, *TIERS[tier]],
                depends=HEADERS,
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = [path for objects in pool.map(compile_tier, TIERS) for path in objects]
        super().build_extension(ext)


class Abi3Wheel(bdist_wheel):
    """Tag the wheel for every CPython from 3.11 on."""

    def finalize_options(self):
        super().finalize_options()
        if ABI3:
            self.py_limited_api = "cp311"


extension = Extension(
    "chipmeter._kernels",
    sources=["src/chipmeter/_kernels.pyx", str(CSRC / "dispatch.c")],
    include_dirs=[str(CSRC)],
    depends=[*KERNELS, *HEADERS, *DOORS],
    define_macros=[*TIERS_DEFINED, *([("Py_LIMITED_API", "0x030B0000")] if ABI3 else [])],
    extra_compile_args=[
        *STRICT,
        "-Wno-unused-function",
        "-Wno-unused-parameter",
        "-Wno-cast-function-type",
        "-Wno-sign-compare",
    ],
    extra_link_args=["-fno-fast-math"] + (["-Wl,--strip-debug"] if sys.platform.startswith("linux") else []),
    libraries=[] if sys.platform == "win32" else ["m"],
    py_limited_api=ABI3,
)
extension.cython_directives = DIRECTIVES

setup(
    ext_modules=[extension],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": Abi3Wheel},
    options={"build_ext": {"cython_c_in_temp": True}},
)
