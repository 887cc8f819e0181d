"""Recordings: what is written is read back, foreign formats work, and damage ends in one clear line."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from humanoid_core.timing import MS, NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import EStopState, ImuSample, JointSample, SensorHealth, SourceHealth
from humanoid_replay.compare import compare
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.samples import KINDS, capture_ns, sample_of
from humanoid_replay.writer import BagWriter
from humanoid_ros import qos
from humanoid_ros.convert import from_msg, to_msg

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "husky_real").is_dir(), reason=f"no recordings at {DATA}")


def imu(stamp_ns: int) -> ImuSample:
    return ImuSample(stamp_ns, np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.0, 9.81]))


def write(path: Path, count: int = 50, **options: Any) -> Path:
    with BagWriter(path, **options) as bag:
        for k in range(1, count + 1):
            stamp = k * 10 * MS
            joints = JointSample(stamp, ("lift", "bend"), np.array([k, -k], float), np.zeros(2))
            bag.write("joint_states", "sensor_msgs/msg/JointState", stamp + MS, serialize_message(to_msg(joints)))
            bag.write("/imu/pelvis", "sensor_msgs/msg/Imu", stamp + 2 * MS, serialize_message(to_msg(imu(stamp))))
    return path


def read_all(path: Path) -> list[Any]:
    with BagReader(path) as bag:
        return list(bag.messages())


@pytest.mark.parametrize("level", [0, 1, 3])
def test_what_is_written_is_read_back(tmp_path: Path, level: int) -> None:
    bag = write(tmp_path / "bag", metadata={"robot": "g1", "model_hash": "abc"}, level=level)
    with BagReader(bag) as reader:
        assert [(t.name, t.count) for t in reader.topics] == [("/imu/pelvis", 50), ("/joint_states", 50)]
        assert reader.metadata == {"robot": "g1", "model_hash": "abc"}
        assert reader.duration_s == pytest.approx(0.491, abs=1e-6)
        records = list(reader.messages(["/joint_states"]))
    assert [r.stamp_ns for r in records] == [k * 10 * MS + MS for k in range(1, 51)]
    sample = sample_of(records[6].message, records[6].type)
    assert sample.names == ("lift", "bend")
    assert np.array_equal(sample.position, [7.0, -7.0])
    assert capture_ns(records[6].message) == 70 * MS


def test_messages_come_in_order_of_arrival(tmp_path: Path) -> None:
    stamps = [r.stamp_ns for r in read_all(write(tmp_path / "bag"))]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("name", sorted(t.name for t in TOPICS.values()))
def test_every_topic_of_the_suite_can_be_recorded_with_its_definition(tmp_path: Path, name: str) -> None:
    """Read back with nothing but what the file itself holds."""
    row = TOPICS[name]
    message = qos.message_type(row.type)()
    data = serialize_message(message)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write(name, row.type, 5, data)
    with BagReader(tmp_path / "bag" / "bag.mcap") as reader:
        (topic, kind, stamp, raw), = reader.raw()
        assert len(list(reader.messages())) == 1
    assert (topic, kind, stamp) == (f"/{name}", row.type, 5)
    assert deserialize_message(raw, type(message)) == message


def test_our_own_nested_message_survives(tmp_path: Path) -> None:
    source = SourceHealth("imu", "ok", True, "", 3, 1.0, 2.0, 3.0, 4.0, 5.0, 6, (("FROZEN", 1), ("STALE", 2)), "STALE",
                          0.5)
    health = SensorHealth(7 * MS, (source, dataclasses.replace(source, topic="b")), True)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("ingest/sensor_health", "humanoid_twin/msg/SensorHealth", 9, serialize_message(to_msg(health)))
    with BagReader(tmp_path / "bag") as reader:
        (_, _, _, raw), = reader.raw()
    assert from_msg(deserialize_message(raw, qos.message_type("humanoid_twin/msg/SensorHealth"))) == health


def test_a_recording_of_an_older_definition_is_read_by_its_own(tmp_path: Path) -> None:
    """Made before the heartbeat of a stop source was numbered."""
    kind, topic = "humanoid_twin/msg/EStopState", "/safety/estop"
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg("std_msgs/Header header\nstring source\nbool pressed\n", kind))
    times, header = store.types["builtin_interfaces/msg/Time"], store.types["std_msgs/msg/Header"]
    old = store.types[kind](header=header(stamp=times(sec=7, nanosec=0), frame_id=""), source="panel", pressed=True)
    with Writer2(tmp_path / "old", version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        bag.write(bag.add_connection(topic, kind, typestore=store), 9, store.serialize_cdr(old, kind))
    with BagWriter(tmp_path / "new") as bag:
        bag.write(topic, kind, 9, serialize_message(to_msg(EStopState(7 * NS, "panel", True, 3))))
    (message,) = read_all(tmp_path / "old")
    assert (message.message.source, message.message.pressed) == ("panel", True)
    (result,) = compare(tmp_path / "old", tmp_path / "new").topics
    assert [(d.field, d.expected, d.actual) for d in result.differences] == [("seq", "no such field", "3")]


def test_the_recorded_qos_is_the_tables(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for name in ("robot/mode", "joint_states", "safety/permit"):
            bag.write(name, TOPICS[name].type, 1, serialize_message(qos.message_type(TOPICS[name].type)()))
    info = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    offered = {t["topic_metadata"]["name"]: t["topic_metadata"]["offered_qos_profiles"][0]
               for t in info["topics_with_message_count"]}
    assert offered["/robot/mode"]["durability"] == "transient_local"
    assert offered["/joint_states"]["reliability"] == "best_effort"
    assert offered["/joint_states"]["depth"] == 5
    assert offered["/safety/permit"]["deadline"] == {"sec": 0, "nsec": 50_000_000}


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "bag")
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "bag")


def test_an_unknown_type_is_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag, pytest.raises(BagError, match="no_such/msg/Thing"):
        bag.write("x", "no_such/msg/Thing", 1, b"")


@pytest.mark.parametrize("name", ["metadata.yaml", "bag.mcap", "", "without index"])
def test_a_folder_its_index_or_its_file_may_be_named(tmp_path: Path, name: str) -> None:
    bag = write(tmp_path / "bag")
    if name == "without index":
        (bag / "metadata.yaml").unlink()
        name = ""
    assert len(read_all(bag / name if name else bag)) == 100


def foreign(path: Path, plugin: StoragePlugin | None) -> Path:
    """The same IMU as another recorder writes it: rosbag2 sqlite3 or mcap, or a ROS 1 bag (plugin None)."""
    store = get_typestore(Stores.ROS1_NOETIC if plugin is None else Stores.ROS2_HUMBLE)
    t = store.types
    v3, quat = t["geometry_msgs/msg/Vector3"], t["geometry_msgs/msg/Quaternion"]
    writer: Any = Writer1(path) if plugin is None else Writer2(path, version=8, storage_plugin=plugin)
    with writer:
        connection = writer.add_connection("/imu", "sensor_msgs/msg/Imu", typestore=store)
        for k in range(1, 21):
            stamp = t["builtin_interfaces/msg/Time"](sec=k, nanosec=5)
            seq = {"seq": k} if plugin is None else {}
            header = t["std_msgs/msg/Header"](stamp=stamp, frame_id="imu", **seq)
            nine = np.zeros(9)
            message = t["sensor_msgs/msg/Imu"](header, quat(0.0, 0.0, 0.0, 1.0), nine, v3(1.0, 2.0, 3.0), nine,
                                               v3(0.0, 0.0, 9.8), nine)
            kind = "sensor_msgs/msg/Imu"
            data = store.serialize_ros1(message, kind) if plugin is None else store.serialize_cdr(message, kind)
            writer.write(connection, k * 1000 * MS + 30 * MS, data)
    return path


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP, None])
def test_bags_of_other_recorders(tmp_path: Path, plugin: StoragePlugin | None) -> None:
    path = foreign(tmp_path / ("one.bag" if plugin is None else "two"), plugin)
    records = read_all(path)
    assert len(records) == 20
    sample = KINDS[records[0].type][1](records[0].message)
    assert sample.stamp_ns == 1000 * MS + 5
    assert np.array_equal(sample.angular_velocity, [1.0, 2.0, 3.0])
    assert np.array_equal(sample.orientation, [1.0, 0.0, 0.0, 0.0])


def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.mcap").write_bytes(b"")
    (tmp_path / "text.bag").write_text("hello\nworld\n")
    (tmp_path / "folder").mkdir()
    shutil.copy(write(tmp_path / "bag") / "bag.mcap", tmp_path / "renamed.db3")
    for name, words in (("empty.mcap", "an empty file"), ("text.bag", "not a recording"), ("none", "no such file"),
                        ("folder", "no metadata.yaml"), ("renamed.db3", "rename it to 'renamed.mcap'")):
        with pytest.raises(BagError, match=words) as caught:
            read_all(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP, None])
def test_cut_or_damaged_files_never_end_in_anything_but_a_bag_error(
        tmp_path: Path, plugin: StoragePlugin | None) -> None:
    path = foreign(tmp_path / ("one.bag" if plugin is None else "two"), plugin)
    file = path if path.is_file() else next(p for p in path.iterdir() if p.suffix in (".mcap", ".db3"))
    whole, random_ = file.read_bytes(), random.Random(5)
    said = []
    for k in range(60):
        data = bytearray(whole)
        if k % 2:
            data = data[: random_.randrange(1, len(whole))]
        else:
            for _ in range(3):
                data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        file.write_bytes(data)
        try:
            with BagReader(path) as bag:
                list(bag.messages())
            said += bag.remarks[:1]
        except BagError as error:
            said.append(str(error))
    assert len(said) >= 29, "every cut is noticed, but one that leaves the end as it is"
    assert not any("\n" in line for line in said)


@needs_data
def test_real_recordings() -> None:
    with BagReader(DATA / "husky_real") as bag:
        counts = {t.name: t.count for t in bag.topics}
        assert counts["/imu/data"] == 11865
        assert bag.duration_s == pytest.approx(395.3, abs=0.1)
        ages = [r.stamp_ns - capture_ns(r.message) for r in bag.messages(["/imu/data"])]
    assert len(ages) == 11865
    assert np.median(ages) / MS == pytest.approx(25.0, abs=1.0)
