"""A joint sensor that is lost: where the robot file allows it the twin's estimate stands in, for a while, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import ROBOT, START, IngestWorld

from humanoid_core.types import EMPTY, JointSample, TwinState, TwinStatus
from twin_nodes.core.verdict import IngestConfig

TOPIC = "joint_states"
WRIST, OTHER, ELBOW, KNEE = "left_wrist_yaw_joint", "right_wrist_yaw_joint", "left_elbow_joint", "left_knee_joint"
CONFIG = IngestConfig(estimate_for=2.0)


def twin_at(stamp_ns: int, /, **changes: Any) -> TwinState:
    n, zero = ROBOT.n, np.zeros(3)
    twin = TwinState(stamp_ns, 1, ROBOT.hash, np.full(n, 0.3), np.full(n, 0.5), np.zeros(n), EMPTY, zero,
                     np.array([1.0, 0.0, 0.0, 0.0]), zero, zero, zero, zero, 0.1, np.zeros(n), 1.0, 0.004,
                     TwinStatus.OK)
    return replace(twin, **changes)


class World(IngestWorld):
    """With a twin that is 10 ms behind."""

    def __init__(self, **twin: Any) -> None:
        super().__init__(config=CONFIG)
        self.twin: TwinState | None = None
        self.core.ask_twin = lambda: twin_at(self.now - 10_000_000, **twin)
        self.run(100)

    def spoil(self, change: Any) -> None:
        self.changes[TOPIC] = change

    def heal(self) -> None:
        self.changes.clear()


def bad(name: str, field: str = "position", value: float = np.nan) -> Any:
    def change(sample: JointSample) -> JointSample:
        values = getattr(sample, field).copy()
        values[ROBOT.index(name)] = value
        return replace(sample, **{field: values})
    return change


def both(*changes: Any) -> Any:
    def change(sample: JointSample) -> JointSample:
        for one in changes:
            sample = one(sample)
        return sample
    return change


def without(name: str) -> Any:
    def change(s: JointSample) -> JointSample:
        keep = [i for i, n in enumerate(s.names) if n != name]
        names = tuple(s.names[i] for i in keep)
        return JointSample(s.stamp_ns, names, s.position[keep], s.velocity[keep], s.effort[keep])
    return change


@pytest.mark.parametrize("change", [
    bad(WRIST), bad(WRIST, "position", 9.0), bad(WRIST, "velocity", np.inf), bad(WRIST, "effort"), without(WRIST)])
def test_the_estimate_stands_in_by_name_and_everything_else_is_measured(change: Any) -> None:
    world = World()
    before = len(world.states)
    world.spoil(change)
    world.run(100)
    assert len(world.states) - before == 20, "not one sample is lost"
    state, i = world.states[-1], ROBOT.index(WRIST)
    assert state.estimated_joints == (WRIST,)
    assert state.position[i] == pytest.approx(0.3 + 0.5 * 0.010)
    assert state.velocity[i] == pytest.approx(0.5)
    assert np.isfinite(state.effort).all()
    others = np.arange(ROBOT.n) != i
    np.testing.assert_allclose(state.position[others], ROBOT.stand[others], atol=1e-3)
    assert [e for e in world.events if WRIST in e and e.startswith("ESTIMATED")]


def test_a_single_bad_sample_is_bridged_without_a_word() -> None:
    world = World()
    world.spoil(bad(WRIST))
    world.run(5)
    assert world.states[-1].estimated_joints == (WRIST,)
    world.heal()
    world.run(5)
    assert world.states[-1].estimated_joints == ()
    assert world.events == []


def test_the_sensor_speaks_again_after_it_was_good_for_a_while() -> None:
    world = World()
    world.spoil(bad(WRIST))
    world.run(100)
    world.heal()
    world.run(CONFIG.handback_ms - 20)
    assert world.states[-1].estimated_joints == (WRIST,)
    world.run(40)
    assert world.states[-1].estimated_joints == ()
    assert "speaks for itself" in world.events[-1]


def test_an_estimate_ends_and_then_the_message_is_refused() -> None:
    world = World()
    world.spoil(bad(WRIST))
    world.run(CONFIG.estimate_for * 1000)
    assert world.refusals == []
    states = len(world.states)
    world.run(200)
    assert len(world.states) - states <= 1
    assert world.count(TOPIC, "NON_FINITE") >= 39
    world.heal()
    world.run(20)
    assert world.states[-1].estimated_joints == ()


@pytest.mark.parametrize("joint", [ELBOW, KNEE])
def test_any_other_joint_is_refused_as_before(joint: str) -> None:
    world = World()
    states = len(world.states)
    world.spoil(both(bad(joint), bad(WRIST)))
    world.run(100)
    assert len(world.states) == states
    assert world.count(TOPIC, "NON_FINITE") == 20


def test_more_joints_than_the_file_allows_are_a_bad_message() -> None:
    world = World()
    states = len(world.states)
    world.spoil(both(*(bad(name) for name in ROBOT.recovery.estimate)))
    world.run(100)
    assert len(world.states) == states
    assert world.events == []


@pytest.mark.parametrize("twin", [{"status": TwinStatus.STALE}, {"position": EMPTY}, {"stamp_ns": START - 10**9},
                                  {"velocity": np.full(ROBOT.n, np.nan)}])
def test_without_a_good_twin_there_is_no_estimate(twin: dict[str, Any]) -> None:
    world = World(**twin)
    states = len(world.states)
    world.spoil(bad(WRIST))
    world.run(50)
    assert len(world.states) == states


def held(name: str) -> Any:
    kept: dict[str, float] = {}

    def change(sample: JointSample) -> JointSample:
        fields = {}
        for field in ("position", "velocity", "effort"):
            values = getattr(sample, field).copy()
            values[ROBOT.index(name)] = kept.setdefault(field, float(values[ROBOT.index(name)]))
            fields[field] = values
        return replace(sample, **fields)
    return change


def test_one_joint_that_freezes_is_a_lost_sensor() -> None:
    world = World()
    world.spoil(held(WRIST))
    world.run(190)
    assert world.states[-1].estimated_joints == ()
    world.run(30)
    assert world.states[-1].estimated_joints == (WRIST,)
    world.heal()
    world.run(CONFIG.handback_ms + 20)
    assert world.states[-1].estimated_joints == ()


def test_a_watched_joint_that_freezes_and_may_not_be_estimated_is_refused() -> None:
    world = World()
    world.spoil(held(ELBOW))
    world.run(300)
    assert world.count(TOPIC, "FROZEN") >= 15
    world.heal()
    world.run(20)
    assert world.states[-1].stamp_ns == world.now


def test_a_joint_that_stands_while_most_others_do_too_is_not_frozen() -> None:
    """A robot with coarse encoders that stands still."""
    world = World()
    still = {name: held(name) for name in ROBOT.joint_names[:-5]}
    world.spoil(both(*still.values()))
    world.run(1000)
    assert world.refusals == []
    assert all(s.estimated_joints == () for s in world.states)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([WRIST, OTHER, ELBOW]), st.sampled_from(["position", "velocity", "effort"]),
                          st.sampled_from([np.nan, np.inf, -np.inf, 1e9, 0.1])), max_size=6),
       st.integers(0, 3_000))
def test_what_leaves_is_finite_possible_and_names_what_it_did_not_measure(
        faults: list[tuple[str, str, float]], future_ms: int) -> None:
    world = World()
    count = len(world.states)
    world.spoil(both(*(bad(*fault) for fault in faults)))
    world.give(TOPIC, world.joints(stamp_ns=world.now + future_ms * 1_000_000 + 1))
    world.run(30)
    for state in world.states[count:]:
        assert np.isfinite(state.position + state.velocity + state.effort).all()
        assert (state.position >= ROBOT.lower - CONFIG.position_margin).all()
        assert set(state.estimated_joints) <= {n for n, _, value in faults if value != 0.1} & {WRIST, OTHER}
