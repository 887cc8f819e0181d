"""Frames of a Unitree robot: their layout and CRC, and which of them are believed."""

from __future__ import annotations

import numpy as np
import pytest
from unitree_world import CONFIG, G1, T0, frame

from humanoid_core.timing import MS
from robot_nodes.core.frames import LOW_CMD, LOW_STATE, crc, from_cdr, new, sealed, to_cdr
from robot_nodes.core.intake import Intake


def fed(intake: Intake, count: int, first: int = 1000, start_ns: int = T0) -> tuple[int, int]:
    """Frames each 2 ms; (next tick, next arrival)."""
    for k in range(count):
        assert intake.take(frame(first + 2 * k), start_ns + 2 * k * MS).reason == ""
    return first + 2 * count, start_ns + 2 * count * MS


# --- frames


def test_the_crc_is_the_vendors() -> None:
    # worked out bit by bit, most significant first, as the vendor's text says it
    record = new(LOW_CMD)
    record["mode_machine"], record["motor_cmd"]["q"][3] = 5, 0.25
    value = 0xFFFFFFFF
    for word in np.frombuffer(record.tobytes(), "<u4")[:-1].tolist():
        for bit in range(31, -1, -1):
            top = value >> 31
            value = (value << 1) & 0xFFFFFFFF
            value ^= 0x04C11DB7 * (top ^ (word >> bit & 1))
    assert crc(record) == value


@pytest.mark.parametrize("kind", [LOW_STATE, LOW_CMD])
def test_a_record_travels_as_cdr_and_back(kind: np.dtype) -> None:
    rng = np.random.default_rng(1)
    record = new(kind)
    for name in (kind.names or ()):
        if name.startswith(("motor", "imu")):
            for inner in record[name].dtype.names:
                if inner != "_pad":
                    record[name][inner] = rng.integers(0, 100, record[name][inner].shape)
        elif name != "_pad":
            record[name] = rng.integers(0, 100, record[name].shape)
    assert from_cdr(kind, to_cdr(record)).tobytes() == record.tobytes()


def test_bytes_that_are_no_frame_are_refused() -> None:
    good = to_cdr(new(LOW_STATE))
    with pytest.raises(ValueError, match="bytes instead of 2088"):
        from_cdr(LOW_STATE, good[:-4])
    with pytest.raises(ValueError, match="little-endian"):
        from_cdr(LOW_STATE, b"\0\0" + good[2:])


# --- what comes in


def test_joints_come_at_the_robot_files_rate_with_even_stamps() -> None:
    intake = Intake(G1, CONFIG)
    samples = []
    for k in range(500):
        late = (k * 7919 % 13) * 100_000  # up to 1.2 ms on the way
        taken = intake.take(frame(1000 + 2 * k), T0 + 2 * k * MS + late)
        if taken.joints is not None:
            samples.append(taken.joints)
    stamps = np.array([s.stamp_ns for s in samples[20:]])
    assert 195 <= len(samples) <= 205
    assert np.all(np.diff(stamps) > 0)
    assert np.all(np.abs((stamps - T0) % (2 * MS)) < MS // 5)  # the ways' jitter is not in the stamps
    assert samples[0].names == G1.joint_names
    np.testing.assert_allclose(samples[0].position, G1.stand, atol=1e-6)


def test_the_warmer_of_two_temperatures_counts() -> None:
    motors = Intake(G1, CONFIG).take(frame(1), T0).motors
    assert motors is not None
    assert motors.temperature.tolist() == [55.0] * G1.n


def test_a_bad_crc_is_refused() -> None:
    intake = Intake(G1, CONFIG)
    bad = frame(1000)
    bad["motor_state"]["q"][0] += 0.1
    assert intake.take(bad, T0).reason == "BAD_CRC"
    assert intake.refused["BAD_CRC"] == 1


def test_another_variant_is_refused_and_named() -> None:
    intake = Intake(G1, CONFIG)
    assert intake.take(frame(1000, mode_machine=11), T0).reason == "WRONG_ROBOT"
    assert "mode_machine is 11, the robot file is for 5" in intake.refused.last


def test_nan_is_refused() -> None:
    bad = frame(1000)
    bad["motor_state"]["dq"][4] = np.nan
    assert Intake(G1, CONFIG).take(sealed(bad), T0).reason == "NON_FINITE"


def test_a_tick_out_of_order_is_refused_and_one_that_stays_back_is_a_restart() -> None:
    intake = Intake(G1, CONFIG)
    tick, at = fed(intake, 100)
    assert intake.take(frame(tick - 20), at).reason == "TICK_BACK"
    assert intake.take(frame(tick), at + 2 * MS).reason == ""
    tick, at = fed(intake, 10, tick + 2, at + 4 * MS)
    reasons = [intake.take(frame(5 + 2 * k), at + 2 * k * MS).reason for k in range(100)]
    assert reasons[:45] == ["TICK_BACK"] * 45
    assert reasons[60:] == [""] * 40
    assert intake.restarts == 1


def test_a_counter_that_stands_still_brings_nothing() -> None:
    intake = Intake(G1, CONFIG)
    tick, at = fed(intake, 10)
    assert {intake.take(frame(tick - 2), at + 2 * k * MS).reason for k in range(20)} == {"DUPLICATE"}


def test_the_counter_may_wrap() -> None:
    intake = Intake(G1, CONFIG)
    assert intake.take(frame((1 << 32) - 2), T0).reason == ""
    assert intake.take(frame(0), T0 + 2 * MS).reason == ""
    assert intake.restarts == 0


def test_a_link_that_lags_makes_frames_stale_for_as_long_as_it_lags() -> None:
    intake = Intake(G1, CONFIG)
    tick, at = fed(intake, 200)
    late = [intake.take(frame(tick + 2 * k), at + 2 * k * MS + 100 * MS).reason for k in range(2000)]
    assert set(late) == {"STALE"}
    assert intake.take(frame(tick + 4000), at + 4000 * MS).reason == ""
