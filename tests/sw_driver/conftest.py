"""Tests that train need the golden model; without PyTorch, as on a Raspberry Pi, the rest still runs."""

from importlib.util import find_spec

_NEED_TORCH = ["test_autapse.py", "test_autapse_chip.py", "test_checkpoints.py", "test_training.py",
               "test_verify_devices.py", "test_run_trace.py", "test_html_report.py"]
collect_ignore = [] if find_spec("torch") else _NEED_TORCH
