"""The federation needs Flower, and the golden model to train on; without them these tests are skipped, and say so."""

from importlib.util import find_spec

import pytest

MISSING = [name for name in ("flwr", "torch", "sklearn") if find_spec(name) is None]


class _Skipped(pytest.Module):
    def collect(self):
        pytest.skip(f"a federation needs {', '.join(MISSING)}: pip install 'autapse[fl,golden,data]'",
                    allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return _Skipped.from_parent(parent, path=module_path) if MISSING else None
