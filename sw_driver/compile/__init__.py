"""The compiler: a network becomes a program for a given chip, or is refused."""

from .even import even_plan
from .fit import fit_chip, fit_config
from .layout import Layout, lay_out
from .mesh import CoreProgram, compile_mesh, compile_whole
from .mesh_fit import fit_mesh
from .methods import METHODS, check_method, mesh_size, plan_by
from .plan import Cut, Plan
from .program import compile_program, layer_rows, training_registers
from .synapses import pack_layer, unpack_layer

__all__ = ["METHODS", "CoreProgram", "Cut", "Layout", "Plan", "check_method", "compile_mesh", "compile_program",
           "compile_whole", "even_plan", "fit_chip", "fit_config", "fit_mesh", "lay_out", "layer_rows", "mesh_size",
           "pack_layer", "plan_by", "training_registers", "unpack_layer"]
