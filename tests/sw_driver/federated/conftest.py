"""The federation needs Flower, and the golden model to train on; without either the rest is still tested."""

from importlib.util import find_spec

collect_ignore_glob = [] if all(find_spec(name) for name in ("flwr", "torch", "sklearn")) else ["test_*.py"]
