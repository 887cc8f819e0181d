"""The short cut of frames as records against CycloneDDS's own way with the same IDL types."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cyclonedds", reason="no CycloneDDS: pip install -r requirements/unitree.txt")

from peers.unitree_g1 import crc_of, words_of

from robot_nodes.core.frames import LOW_CMD, LOW_STATE, crc, from_cdr, new, sealed, to_cdr
from robot_nodes.dds import unitree_types as t


def state() -> t.LowState_:
    motors = [t.MotorState_(1, 0.1 * i, -0.2 * i, 3.0, 0.5 * i, [30 + i, -5], 48.5, [i, 2], 7 * i, [1, 2, 3, i])
              for i in range(35)]
    imu = t.IMUState_([0.5, -0.5, 0.5, 0.5], [1.0, 2.0, 3.0], [0.0, 0.1, 9.81], [0.1, 0.2, 0.3], -12)
    return t.LowState_([4, 9], 1, 5, 4_000_000_000, imu, motors, list(range(40)), [9, 8, 7, 6], 0)


def test_a_lowstate_reads_the_same_both_ways() -> None:
    sent = state()
    sent.crc = crc_of(words_of(sent))
    record = t.LowState_.deserialize(sent.serialize()).record
    assert int(record["crc"]) == crc(record) == sent.crc
    assert (int(record["tick"]), int(record["mode_machine"])) == (4_000_000_000, 5)
    np.testing.assert_allclose(record["imu_state"]["gyroscope"], [1.0, 2.0, 3.0])
    assert int(record["imu_state"]["temperature"]) == -12
    for i in (0, 1, 17, 34):
        motor = record["motor_state"][i]
        assert (int(motor["mode"]), int(motor["motorstate"]), motor["temperature"].tolist()) == (1, 7 * i, [30 + i, -5])
        assert float(motor["tau_est"]) == pytest.approx(0.5 * i)
        assert motor["reserve"].tolist() == [1, 2, 3, i]
    assert record["wireless_remote"].tolist() == list(range(40))
    assert to_cdr(record) == sent.serialize()


def test_a_lowcmd_is_written_the_same_both_ways() -> None:
    record = new(LOW_CMD)
    rng = np.random.default_rng(5)
    record["mode_machine"], record["mode_pr"] = 5, 1
    for name in ("q", "dq", "tau", "kp", "kd"):
        record["motor_cmd"][name] = rng.normal(size=35)
    record["motor_cmd"]["mode"], record["reserve"] = 1, (1, 2, 3, 4)
    sealed(record)
    ours = t.LowCmd_.of(record).serialize()
    read = t.LowCmd_.deserialize(ours)
    assert read.serialize() == ours
    assert read.motor_cmd[34].kd == pytest.approx(float(record["motor_cmd"]["kd"][34]))
    assert read.crc == crc(from_cdr(LOW_CMD, ours))


def test_bytes_that_are_no_lowstate_are_refused_when_they_are_read() -> None:
    frame = t.LowState_.deserialize(b"\0\1\0\0" + bytes(100))
    with pytest.raises(ValueError, match=f"100 bytes instead of {LOW_STATE.itemsize - 4}"):
        _ = frame.record
