"""The recorder leaves out pictures first, says what it left out, and ends before a disk is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_recording import KIND, START, sample

from humanoid_core.timing import MS
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.recorder import MIB, Recorder, Room
from humanoid_replay.recording import Limits

IMAGE = "sensor_msgs/msg/Image"


def names(path: Path) -> dict[str, int]:
    with BagReader(path) as bag:
        return {t.name: t.count for t in bag.topics}


def feed(recorder: Recorder, count: int, picture: bytes = b"\0" * 1000) -> None:
    for k in range(count):
        recorder.write("joint_states", KIND, START + k * 10 * MS, sample(k))
        if k % 10 == 0:
            recorder.write("camera/head/image_raw", IMAGE, START + k * 10 * MS, picture)


def test_everything_is_kept_while_there_is_room_and_in_order_of_arrival(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", free=lambda: 1 << 40) as recorder:
        for k in (2, 0, 1, 5, 4, 3):
            recorder.write("joint_states", KIND, START + k * MS, sample(k))
    assert recorder.account.complete
    with BagReader(tmp_path / "bag") as bag:
        stamps = [r.stamp_ns for r in bag.messages()]
    assert stamps == sorted(stamps)
    assert len(stamps) == 6


def test_a_slow_disk_costs_pictures_first_and_says_so(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "bag", room=Room(waiting=5000), free=lambda: 1 << 40)
    with recorder._busy:  # the disk does not answer
        feed(recorder, 60, picture=b"\0" * 3000)
    recorder.close()
    assert recorder.account.pictures_left_out > 0
    assert not recorder.account.lost
    assert names(tmp_path / "bag")["/joint_states"] == 60


def test_a_nearly_full_disk_costs_pictures_and_a_full_one_ends_the_recording_whole(tmp_path: Path) -> None:
    left = [100 * MIB]
    recorder = Recorder(tmp_path / "bag", free=lambda: left[0])
    recorder._look_at_disk()
    feed(recorder, 50)
    assert recorder.account.pictures_left_out == 5
    left[0] = 10 * MIB
    with recorder._busy:
        recorder._look_at_disk()
    recorder.write("joint_states", KIND, START, sample(0))
    recorder.close()
    assert "the disk is full" in recorder.account.why
    assert recorder.account.lost["joint_states"] >= 1
    with BagReader(tmp_path / "bag") as bag:
        assert not bag.remarks


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_ring_is_saved_and_closed_whole_in_either_format(tmp_path: Path, storage: str) -> None:
    with Recorder(tmp_path / "bag", limits=Limits(ring=2.0), storage=storage, free=lambda: 1 << 40) as recorder:
        feed(recorder, 300)
        saved = recorder.save(tmp_path / "saved", 0)
        feed(recorder, 100)
    assert recorder.account.complete, recorder.account.why
    assert names(saved)["/joint_states"] > 100
    assert names(tmp_path / "bag")["/joint_states"] > 100
    assert not list((tmp_path / "bag").glob("*.growing"))
    with pytest.raises(BagError, match="the recording has ended"):
        recorder.save(tmp_path / "late", 0)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_never_came_stands_in_the_metadata(tmp_path: Path, storage: str) -> None:
    recorder = Recorder(tmp_path / "bag", {"robot": "g1"}, storage=storage, free=lambda: 1 << 40)
    feed(recorder, 10)
    recorder.close({"joint_states": 3})
    with BagReader(tmp_path / "bag") as bag:
        assert bag.metadata == {"robot": "g1", "missed": '{"joint_states": 3}'}


def test_what_cannot_be_saved_is_said_to_who_asked(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", free=lambda: 1 << 40) as recorder:
        feed(recorder, 10)
        (tmp_path / "there").mkdir()
        with pytest.raises(BagError, match="there"):
            recorder.save(tmp_path / "there", 0)
        feed(recorder, 10)
    assert recorder.account.complete


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_disk_that_takes_no_more_ends_the_recording_with_a_reason(tmp_path: Path, storage: str) -> None:
    """In a process of its own, whose files may not grow beyond 2 MiB: the system refuses in the middle of a write."""
    done = subprocess.run([sys.executable, "-c", (
        "import random, resource, signal, sys; from pathlib import Path; sys.path.insert(0, 'test/unit')\n"
        "from test_recorder import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))\n"
        "r = Recorder(Path(sys.argv[1]), storage=sys.argv[2], free=lambda: 1 << 40)\n"
        "for k in range(400): r.write('t', KIND, START + k * 100 * MS, sample(k) + random.randbytes(10_000))\n"
        "r.close(); print(r.account.written, sum(r.account.lost.values()), r.account.why)"),
        str(tmp_path / "bag"), storage], capture_output=True, text=True, timeout=60.0)
    assert done.returncode == 0, done.stderr
    written, missing, why = done.stdout.split(maxsplit=2)
    assert "cannot be written" in why
    assert int(missing) > 0
    with BagReader(tmp_path / "bag") as bag:
        assert 0.5 * int(written) < sum(1 for _ in bag.raw()) <= int(written)
