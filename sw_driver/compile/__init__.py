"""The compiler: a network becomes a program for a given chip, or is refused."""

from .fit import fit_chip, fit_config
from .layout import Layout, lay_out
from .program import compile_program, layer_rows, training_registers
from .synapses import pack_layer, unpack_layer

__all__ = ["Layout", "compile_program", "fit_chip", "fit_config", "lay_out", "layer_rows", "pack_layer",
           "training_registers", "unpack_layer"]
