"""`autapse program`: only a bitstream for the board's device goes to the loader, and what that lacks is told."""

import shutil
import subprocess
import sys

import pytest

from autapse.cli import run
from refusal import refusal

ULX3S_85F = b"\xff\x00Part: LFE5U-85F-6CABGA381\x00\xff\xff\xff\xbd\xb3" + bytes(20)   # as ecppack begins


def test_program_needs_a_bitstream(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "make it with: autapse build icebreaker" in refusal(capsys, "program", "icebreaker")
    assert "Vivado" in refusal(capsys, "program", "genesys2")
    (tmp_path / "some.bit").write_bytes(ULX3S_85F)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert run(["program", "ulx3s-85f", "some.bit", "--dry-run", "--tools", "system"]) == 0
    assert capsys.readouterr().out.strip() == "/usr/bin/openFPGALoader -b ulx3s some.bit"


def test_program_tells_of_a_choice_that_is_none_and_of_what_the_loader_lacks(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.bit").write_bytes(ULX3S_85F)
    error = refusal(capfd, "program", "ulx3s-85f", "some.bit", "--tools", "vendor", "--dry-run")
    assert error == "autapse: --tools must be auto, pip, system, not 'vendor'"
    for code, sentence in ((127, "could not be started, see above; pip's needs the system's libusb-1.0 and libftdi1"),
                           (1, "could not load ULX3S 85F (code 1): is it plugged in")):
        loader = tmp_path / f"loader{code}"
        loader.write_text(f"#!/bin/sh\nexit {code}\n")
        loader.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name, path=loader: str(path))
        assert sentence in refusal(capfd, "program", "ulx3s-85f", "some.bit", "--tools", "system")


@pytest.mark.parametrize("board, content, found, meant", [
    ("ulx3s-45f", ULX3S_85F, "LFE5U-85F-6CABGA381", "LFE5U-45F-6CABGA381"),
    ("ecpix5-85f", ULX3S_85F, "LFE5U-85F-6CABGA381", "LFE5UM5G-85F-8CABGA554"),
    ("ulx3s-25f", ULX3S_85F.replace(b"85F-6CABGA381", b"25F-6CABGA256"), "LFE5U-25F-6CABGA256", "LFE5U-25F-6CABGA381"),
    ("icebreaker", ULX3S_85F, "LFE5U-85F-6CABGA381", "an iCE40"),
    ("ulx3s-85f", b"\xff\x00\x00\xff\x7e\xaa\x99\x7e", "an iCE40", "LFE5U-85F-6CABGA381"),
    ("genesys2", b"hello", "no FPGA that is known here", "a 7-series device"),
])
def test_a_bitstream_for_another_device_is_refused(board, content, found, meant, capsys, tmp_path):
    file = tmp_path / "some.bit"
    file.write_bytes(content)
    error = refusal(capsys, "program", board, str(file), "--dry-run")
    assert f"some.bit is a bitstream for {found}, " in error and f" has {meant}; make one with" in error


@pytest.mark.parametrize("board, content", [
    ("ulx3s-85f", ULX3S_85F), ("ulx3s-85f", b"\xff\x00\xff\xff\xbd\xb3"), ("arty-a7-100", b"\xaa\x99\x55\x66"),
    ("icebreaker", b"\xff\x00\x00\xff\x7e\xaa\x99\x7e")])
def test_a_bitstream_for_the_device_is_taken(board, content, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "some.bit").write_bytes(content)
    assert run(["program", board, str(tmp_path / "some.bit"), "--dry-run", "--tools", "system"]) == 0


def test_programming_needs_no_generator(tmp_path):
    program = "import sys; sys.modules['amaranth'] = None; from autapse.cli import run; run(['program', 'icebreaker'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr.startswith("autapse: there is no bitstream build/icebreaker/icebreaker.bin; make it with")
