"""The mesh and its traffic as a compiled program."""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ...gateware.simulator.build import cache_folder
from ...hw.noc import Mesh, MeshShape, NocConfig, Router
from ...hw.noc.router import router_members
from ..exhaustive.toolchain import tool_environment
from .patterns import Traffic
from .wide import WideMesh

HARNESS = Path(__file__).with_name("harness.cpp")


class TrafficError(Exception):
    """The mesh lost, repeated, changed or reordered something, or cannot be built; the message says what."""


class CompiledRouter(wiring.Component):
    """A router as an instance of the module `router`: what is compiled once serves all of them."""

    def __init__(self, mesh: MeshShape, **options):
        super().__init__(router_members(NocConfig(mesh=mesh, **options)))

    def elaborate(self, platform):
        ports = {}
        for path, member, value in self.signature.flatten(self):
            prefix = "o" if member.flow == Out else "i"
            ports[f"{prefix}_{'__'.join(map(str, path))}"] = Value.cast(value)
        return Instance("router", i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)


def build(shape: MeshShape, *, folder: Path | None = None, **options) -> Path:
    """The program of a mesh, at once if it is in the cache; `options` as those of `Mesh`.

    Raises
    ------
    TrafficError
        If Verilator or the compiler is missing or fails.
    """
    with _environment():
        mesh = Mesh(shape, router=CompiledRouter, **options)
        source = verilog.convert(WideMesh(mesh), name="wide", emit_src=False)
        source += verilog.convert(Router(shape, **options), name="router", emit_src=False)
    config = mesh.config
    key = hashlib.sha256((source + HARNESS.read_text()).encode()).hexdigest()[:16]
    target = (folder or cache_folder()) / f"traffic-{config.mesh}-{key}"
    program = target / "traffic"
    if program.exists():
        return program
    target.mkdir(parents=True, exist_ok=True)
    (target / "wide.v").write_text(source)
    definitions = {"NODES": config.mesh.nodes, "CHANNELS": config.channels, "FLIT_BITS": config.flit_bits,
                   "LENGTH_BITS": config.length_bits}
    flags = ["-std=c++20", *(f"-D{name}={value}" for name, value in definitions.items())]
    command = ["verilator", "--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast",
               "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "wide", "--prefix", "Vwide", "-Mdir",
               str(target / "objects"),
               "-CFLAGS", " ".join(flags), "-o", str(target / "traffic.partial"), str(target / "wide.v"), str(HARNESS)]
    environment = tool_environment(make_overrides="OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0")
    try:
        with (target / "build.txt").open("w") as log:
            subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise TrafficError(f"the mesh cannot be built: {error}; see {target / 'build.txt'}") from None
    (target / "traffic.partial").rename(program)
    return program


def run(program: Path, traffic: Traffic, *, rate: float, flits: int, warm_up: int, cycles: int, seed: int = 1,
        stall: float = 0.0) -> dict:
    """What a mesh does with a traffic: see the harness.

    Raises
    ------
    TrafficError
        If anything is lost, repeated, changed or out of order.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as table:
        for source, masks in traffic.masks.items():
            table.writelines(f"{source} {mask} {weight}\n" for mask, weight in masks)
        table.flush()
        done = subprocess.run([program, table.name, str(rate), str(flits), str(warm_up), str(cycles), str(seed),
                               str(stall)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrafficError(f"rate {rate}, packets of {flits}, seed {seed}: {(done.stdout or done.stderr).strip()}")
    return json.loads(done.stdout)


@contextmanager
def _environment() -> Iterator[None]:
    """The environment of the tools, for Amaranth, which looks at os.environ alone."""
    before = dict(os.environ)
    os.environ.update(tool_environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
