"""Serial ports that are missing, taken, forbidden, none, or somebody else's: one sentence each."""

import errno
import os
import pty
import subprocess
import sys
import termios
import threading
import tty
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import autapse as ap
from autapse.sw_driver.errors import DeviceError
from autapse.sw_driver.link import LinkError, PortError, SerialTransport
from autapse.sw_driver.link.serial_port import explained

pytest.importorskip("serial")


@contextmanager
def other(answer=None):
    """The name of a port with somebody else on it, who says `answer` to whatever comes."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def talk():
        os.set_blocking(master, False)
        while not ended.wait(0.01):
            try:
                if os.read(master, 4096) and answer:
                    os.write(master, answer)
            except BlockingIOError:
                pass

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("answer, found", [
    (None, "nothing came back"),
    (b"login: ", r"\d+ bytes came back, but no frame: another device is on this port, or its rate is another"),
])
def test_a_port_without_a_chip(answer, found, monkeypatch):
    monkeypatch.setattr("autapse.sw_driver.devices.serial.GREETING", 0.5)
    with other(answer) as port, pytest.raises(DeviceError, match=(
            rf"^no autapse chip answers on {port} at 115200 baud \({found}\); check that this is the board's port and "
            "that the board is programmed, or state its rate with baud=$")):
        ap.open(f"serial:{port}:baud=115200")


def test_a_port_in_use_is_refused_with_who_uses_it():
    with other() as port:
        first = SerialTransport(port)
        with pytest.raises(PortError, match=rf"^{port} is in use by another program; close that first\.$"):
            SerialTransport(port)
        first.close()
        SerialTransport(port).close()


def test_who_has_locked_a_port_is_named_before_who_has_it_open():
    take = "import serial, sys; line = serial.Serial(sys.argv[1], exclusive=True); print(flush=True); sys.stdin.read()"
    with other() as port, open(port) as file:
        # The lower number is found first where only open files are looked at.
        idle = subprocess.Popen(["sleep", "60"], stdin=file)
        taker = subprocess.Popen([sys.executable, "-c", take, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            taker.stdout.readline()
            assert idle.pid < taker.pid
            with pytest.raises(PortError, match=rf"is in use by python\S* \(process {taker.pid}\); close that first"):
                SerialTransport(port)
        finally:
            idle.kill()
            taker.communicate()
            idle.wait()


def test_a_port_that_dies_as_it_is_opened(monkeypatch):
    def dying(*arguments, **options):
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr("serial.Serial", dying)
    with pytest.raises(PortError, match=r"^/dev/none cannot be opened: Input/output error\.$"):
        SerialTransport("/dev/none")


def test_what_a_port_needs_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(PortError, match=r"^A serial port needs pyserial, which is not installed; pip install "
                                        r"'autapse\[serial\]'\.$"):
        ap.open("serial:/dev/none")


def test_a_port_that_is_not_there_or_none(tmp_path):
    with pytest.raises(PortError, match=rf"^There is no serial port {tmp_path}/ttyUSB7; (there are /dev|no serial port "
                                        r"was found: plug the board in, or check the cable, some only charge\.$)"):
        ap.open(f"serial:{tmp_path}/ttyUSB7")
    file = tmp_path / "file"
    file.write_bytes(b"")
    for place in (file, tmp_path):
        with pytest.raises(PortError, match=rf"^{place} is no serial port; name one such as /dev/ttyUSB0\.$"):
            ap.open(f"serial:{place}")


@pytest.mark.parametrize("error, sentence", [
    (PermissionError(errno.EACCES, "no"), ("There is no permission to open /dev/none; it belongs to the group dialout: "
                                           "sudo usermod -aG dialout $USER, then log in again.")),
    (OSError(errno.EBUSY, "no"), "/dev/none is in use by another program; close that first."),
    (ValueError("no"), "/dev/none cannot do 3000000 baud (no); state another rate with baud=."),
    (OSError(errno.EIO, "no"), "/dev/none cannot be opened: Input/output error."),
])
def test_what_the_system_says_is_explained(error, sentence):
    assert explained("/dev/none", 3_000_000, error) == sentence


@pytest.mark.parametrize("mode, group, part", [
    (0o600, "uucp", ", and no group has it: a udev rule must give it to one, such as dialout."),
    (0o660, "root", ", and no group has it: a udev rule must give it to one, such as dialout."),
    (0o660, "uucp", "; it belongs to the group uucp: sudo usermod -aG uucp $USER, then log in again."),
])
def test_who_may_open_a_port_is_said(mode, group, part, tmp_path, monkeypatch):
    file = tmp_path / "port"
    file.touch()
    file.chmod(mode)
    monkeypatch.setattr("grp.getgrgid", lambda number: SimpleNamespace(gr_name=group))
    assert explained(str(file), 9600, PermissionError(errno.EACCES, "no")) == (
        f"There is no permission to open {file}{part}")


def test_a_port_that_vanishes_is_waited_for_and_then_given_up():
    said = []
    with other() as port:
        line = SerialTransport(port, reconnect=0.2, notice=said.append)
        assert line.read(10, 0.0) == b""
    with pytest.raises(LinkError, match=rf"^{port} was lost and did not come back within 0 s: "):
        line.read(10, 0.5)
    with pytest.raises(LinkError, match=rf"^{port} is closed; open it again\.$"):
        line.write(b"x")
    assert len(said) == 1 and said[0].startswith(f"{port} is gone (")


def test_a_wait_that_is_interrupted_can_be_taken_up_again(tmp_path, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    place = tmp_path / "port"
    with other() as port:
        place.symlink_to(port)
        line = SerialTransport(place, reconnect=5)
        place.unlink()
    monkeypatch.setattr("autapse.sw_driver.link.serial_port.time.sleep", interrupt)
    for call in (lambda: line.read(10, 0.0), lambda: line.write(b"x")):
        with pytest.raises(KeyboardInterrupt):
            call()
    monkeypatch.undo()
    with other(b"answer") as port:
        place.symlink_to(port)
        assert line.read(10, 0.0) == b"" and line.outages == 1
        line.write(b"x")
        assert line.read(10, 5.0) == b"answer"
        line.close()


@pytest.mark.parametrize("name, sentence", [
    ("serial", "^name the port of the board, such as serial:/dev/ttyUSB0$"),
    ("serial:/dev/x:baud=fast", "^baud must be a number of at least 1, not 'fast'$"),
    ("serial:/dev/x,reconnect=-1", "^reconnect must be a number of at least 0, not -1$"),
    ("serial:/dev/x:speed=3", "^device 'serial' has no option 'speed'; it has baud, reconnect, patience, place, "),
    ("serial:/dev/x:mesh=9x9", "^a mesh has from 1 to 20 cores, 9x9 is 81$"),
    ("serial:/dev/x:expect=/nowhere.json", "^the expected chip /nowhere.json is no board and cannot be read: No such "),
    ("serial:/dev/x:place=best", "^there is no placement 'best'"),
])
def test_names_that_say_nothing_sensible(name, sentence):
    with pytest.raises((DeviceError, ap.SpecError), match=sentence):
        ap.open(name)


def test_a_port_may_have_colons_in_its_name():
    with pytest.raises(PortError, match=r"^There is no serial port /dev/serial/by-path/pci-0:1:2; "):
        ap.open("serial:/dev/serial/by-path/pci-0:1:2:baud=115200,reconnect=3")
