"""The C++ kernel of the golden model: compiled on the user's machine, once, and kept.

The library lies in the user's cache folder under a name that is a hash of sources, options, compiler and processor.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs

SOURCES = [Path(__file__).with_name(name) for name in ("kernel.cpp", "kernel_exact.h", "kernel_sums.h")]

# No fused multiply-add, which rounds once where the rules round twice. The others that begin with -f let loops with
# comparisons vectorise; they take away only what the kernel has no use for: traps, errno, infinities, NaN, and the sign
# of a zero, for a rounded zero is +0 by how it comes about.
OPTIONS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno",
           "-ffinite-math-only", "-fno-signed-zeros", "-fPIC", "-shared", "-pthread")  # fmt: skip

_POINTER, _INTEGER, _REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_FUNCTIONS = {
    "forward": [_POINTER] * 4 + [_INTEGER] * 2 + [_POINTER] * 3 + [_INTEGER],
    "loss": [_INTEGER] + [_POINTER] * 2 + [_REAL] * 2 + [_POINTER],
    "backward": [_POINTER] + [_INTEGER] * 2 + [_POINTER] * 4 + [_INTEGER],
    "propagate": [_POINTER] * 2 + [_INTEGER] + [_POINTER] * 3 + [_INTEGER],
    "gradient": [_POINTER, _INTEGER] + [_POINTER] * 4 + [_INTEGER] * 2,
    "update": [_INTEGER] + [_POINTER] * 4 + [_REAL] * 3 + [_INTEGER],
}


class NoKernel(RuntimeError):
    """There is no C++ kernel here; the message says why."""


class LayerShape(ctypes.Structure):
    """`Layer` of kernel.cpp. Who makes one keeps the arrays that `decay` and `threshold` point at."""

    _fields_ = (
        *((name, _INTEGER) for name in ("inputs", "outputs", "soft", "detach", "strict", "spiking")),
        ("half_width", _REAL),
        ("decay", _POINTER),
        ("threshold", _POINTER),
    )


@functools.cache
def load() -> ctypes.CDLL:
    """The kernel, from the cache or compiled now, which takes some seconds once.

    Raises
    ------
    NoKernel
        If there is no C++ compiler, or it fails, or the library can be neither kept nor loaded.
    """
    compiler = find_compiler()
    # The macros that a compiler predefines tell it, its version, and with -march=native the processor.
    macros = _output([compiler, *OPTIONS, "-dM", "-E", "-x", "c++", os.devnull])
    texts = (*(path.read_text(encoding="utf-8") for path in SOURCES), compiler, *OPTIONS, macros)
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
    folder = Path(os.environ.get("AUTAPSE_CACHE") or platformdirs.user_cache_path("autapse"))
    library = folder / f"golden-{key}.so"
    try:
        if not library.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as work:
                made = Path(work) / "kernel.so"
                build(SOURCES[0], made, compiler=compiler)
                # Renaming is all or nothing: another process sees a whole library or none.
                os.replace(made, library)
        return bind(library)
    except OSError as error:
        raise NoKernel(f"the C++ kernel of the golden model can be neither kept nor loaded: {error}") from None


def find_compiler() -> str:
    """The path of $CXX, g++, clang++ or c++, the first that is there; NoKernel if none is."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name)):
            return path
    raise NoKernel("there is no C++ compiler; install one, on Debian or Ubuntu with: apt install g++")


def build(source: Path, library: Path, *, compiler: str, options: Sequence[str] = OPTIONS) -> None:
    """Compile `source`, and what it includes, to a shared library. Raises NoKernel with what the compiler says."""
    _output([compiler, *options, str(source), "-o", str(library)])


def bind(library: Path) -> ctypes.CDLL:
    """The library with the types of its functions set. Raises OSError if it does not load."""
    functions = ctypes.CDLL(str(library))
    for name, arguments in _FUNCTIONS.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = arguments, ctypes.c_int
    return functions


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NoKernel(f"{command[0]} failed: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout
