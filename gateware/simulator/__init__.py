"""A chip as a program: its line on standard input and output, for the driver's ProcessTransport."""

from .build import SimulatorError, build_simulator, cache_folder, find_simulator

__all__ = ["SimulatorError", "build_simulator", "cache_folder", "find_simulator"]
