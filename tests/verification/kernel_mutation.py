"""Copies of the golden model's C++ kernel with one change, compiled."""

import functools

import pytest

from autapse.verification.golden import kernel
from autapse.verification.golden.model import Golden


def compiled(folder, right="", wrong=""):
    """The kernel with one change as a library in `folder`, quickly compiled. Skips where there is no compiler."""
    try:
        compiler = kernel.find_compiler()
    except kernel.NoKernel as error:
        pytest.skip(str(error))
    texts = {source.name: source.read_text() for source in kernel.SOURCES}
    assert not right or sum(text.count(right) for text in texts.values()) == 1, f"not once in the kernel: {right!r}"
    for name, text in texts.items():
        (folder / name).write_text(text.replace(right, wrong) if right else text)
    options = ["-O1" if option == "-O3" else option for option in kernel.OPTIONS]
    kernel.build(folder / kernel.SOURCES[0].name, folder / "kernel.so", compiler=compiler, options=options)
    return kernel.bind(folder / "kernel.so")


def golden_with(library, monkeypatch):
    """Makes golden models that compute with this library."""
    monkeypatch.setattr(kernel, "load", lambda: library)
    return functools.partial(Golden, kernel="native")
