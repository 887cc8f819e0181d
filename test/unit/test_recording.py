"""Recordings that grow: parts, the ring, what a kill leaves, and what can be read of a damaged one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader

from humanoid_core.timing import MS, NS
from humanoid_core.types import JointSample
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.recording import Limits, Recording
from humanoid_ros.convert import to_msg

KIND = "sensor_msgs/msg/JointState"
START = 1_000 * NS


def sample(k: int) -> bytes:
    """The k-th joint sample, 10 ms after the one before."""
    return serialize_message(to_msg(JointSample(START + k * 10 * MS, ("a", "b"), np.array([float(k), -1.0]))))


def fill(recording: Recording, count: int, first: int = 0) -> None:
    for k in range(first, first + count):
        recording.write("joint_states", KIND, START + k * 10 * MS, sample(k))


def read(path: Path) -> list[int]:
    with BagReader(path) as bag:
        return [round(float(r.message.position[0])) for r in bag.messages()]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recording_in_parts_reads_as_one(tmp_path: Path, storage: str) -> None:
    with Recording(tmp_path / "bag", {"model_hash": "abc"}, Limits(split_seconds=1.0), storage) as recording:
        fill(recording, 450)
    files = sorted(p.name for p in (tmp_path / "bag").iterdir())
    assert len(files) == 6
    assert files[-1] == "metadata.yaml"
    assert read(tmp_path / "bag") == list(range(450))
    with Reader(tmp_path / "bag") as plain:  # by rosbag2's rules alone
        assert plain.message_count == 450
        assert plain.duration == 4490 * MS + 1


def test_parts_by_size(tmp_path: Path) -> None:
    with Recording(tmp_path / "bag", limits=Limits(split_bytes=20_000, flush=0.1)) as recording:
        fill(recording, 800)
    assert len(list((tmp_path / "bag").glob("*.mcap"))) == 3  # 800 messages of 84 bytes
    assert read(tmp_path / "bag") == list(range(800))


def test_the_ring_keeps_the_last_seconds_and_saves_them_when_asked(tmp_path: Path) -> None:
    with Recording(tmp_path / "ring", limits=Limits(ring=6.0)) as recording:
        fill(recording, 2000)
        saved = recording.save(tmp_path / "saved", START + 15 * NS)
        fill(recording, 1500, first=2000)
    kept = read(tmp_path / "ring")
    assert kept[-1] == 3499
    assert 600 <= len(kept) <= 850
    assert read(saved)[-1] == 1999
    assert read(saved)[0] <= 1500


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_after_kill_9_everything_but_the_last_flush_is_read(tmp_path: Path, storage: str) -> None:
    writer = subprocess.Popen([sys.executable, "-c", (
        "import sys, time; sys.path.insert(0, 'test/unit')\n"
        "from test_recording import *\n"
        "r = Recording(sys.argv[1], limits=Limits(split_seconds=2.0), storage=sys.argv[2])\n"
        "fill(r, 730); print('written', flush=True); time.sleep(60)"), str(tmp_path / "bag"), storage],
        stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline().strip() == "written"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    with BagReader(tmp_path / "bag") as bag:
        found = [round(float(r.message.position[0])) for r in bag.messages()]
        assert any("recorder killed" in line for line in bag.remarks)
    assert found == list(range(len(found)))
    assert len(found) >= 730 - 51  # the last half second


def test_a_recording_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    with Recording(tmp_path / "bag", limits=Limits(flush=0.2)) as recording:
        fill(recording, 600)
    whole = next((tmp_path / "bag").glob("*.mcap")).read_bytes()
    cut = tmp_path / "cut.mcap"
    counts = []
    for share in (0.3, 0.6, 0.9, 0.99):
        cut.write_bytes(whole[: int(share * len(whole))])
        found = read(cut)
        assert found == list(range(len(found)))
        counts.append(len(found))
    assert counts == sorted(counts)
    assert counts[-1] > 500


def test_damage_gives_one_line_or_fewer_messages_never_a_traceback(tmp_path: Path) -> None:
    with Recording(tmp_path / "bag", limits=Limits(flush=0.2)) as recording:
        fill(recording, 300)
    whole = next((tmp_path / "bag").glob("*.mcap")).read_bytes()
    rng, file, said = random.Random(1), tmp_path / "damaged.mcap", list[str]()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)):]
        file.write_bytes(data)
        try:
            assert len(read(file)) <= 300
        except BagError as error:
            said.append(str(error))
    assert said
    assert not any("\n" in line for line in said)


def test_an_existing_folder_is_never_written_into(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="exists already"):
        Recording(tmp_path)
    with pytest.raises(BagError, match="storage 'zip'"), Recording(tmp_path / "x", storage="zip") as recording:
        fill(recording, 1)
