"""A program as the line: it starts, ends, blocks and dies without leaving anything behind."""

import os
import sys
import time

import pytest

from autapse.sw_driver.link import LinkError, ProcessTransport


def python(code):
    return [sys.executable, "-c", code]


ECHO = "import os\nwhile (b := os.read(0, 65536)): os.write(1, b)"


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_bytes_go_there_and_back():
    line = ProcessTransport(python(ECHO))
    content = bytes(range(256)) * 4000
    line.write(content)     # far more than a pipe holds, so that both sides must move at once
    back = b""
    while len(back) < len(content):
        back += line.read(1000, 1.0)
    assert back == content
    assert line.read(10, 0.01) == b""
    line.close()
    line.close()
    assert gone(line._process.pid)


def test_a_program_that_ends_says_why():
    line = ProcessTransport(python("import sys; print('no such chip', file=sys.stderr); sys.exit(3)"))
    with pytest.raises(LinkError, match=rf"^{sys.executable} ended with code 3 \(no such chip\); start it again\.$"):
        while True:
            line.read(10, 1.0)
    with pytest.raises(LinkError, match=rf"^The line to {sys.executable} is closed; open it again\.$"):
        line.write(b"x")


def test_a_program_that_is_not_there():
    with pytest.raises(LinkError, match=r"^/no/such/program could not be started: No such file or directory; build it "
                                        r"again\.$"):
        ProcessTransport(["/no/such/program"])


def test_a_program_that_does_not_end_is_ended():
    line = ProcessTransport(python("import time; time.sleep(1000)"), patience=0.2)
    begin = time.monotonic()
    line.close()
    assert time.monotonic() - begin < 5
    assert gone(line._process.pid)


def test_a_lost_transport_ends_its_program():
    line = ProcessTransport(python(ECHO))
    pid = line._process.pid
    assert not gone(pid)
    del line
    assert gone(pid)


def test_an_interrupt_at_the_terminal_does_not_reach_it():
    line = ProcessTransport(python(ECHO))
    assert os.getpgid(line._process.pid) != os.getpgid(0)
    line.close()
