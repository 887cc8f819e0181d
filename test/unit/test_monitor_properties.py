"""What must hold of the monitor for any input. `pytest --hypothesis-profile many` runs ten thousand cases of each."""

from __future__ import annotations

import gc
import math
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_world import MONITOR, NAMES, ROBOT, UPPER, MonitorWorld, calm_state, calm_twin, cases

from humanoid_core.kinematics import Kinematics
from humanoid_core.timing import MS, NS
from humanoid_core.types import GateStatus, JointCommand, Level, Posture, TwinPrediction
from safety_nodes.core.clearance import Contact
from safety_nodes.core.nearness import findings
from safety_nodes.core.severity import level_of
from safety_nodes.core.types import Received, Tick, Verdict

Change = Callable[[MonitorWorld, float], dict[str, Any]]
HAND = ROBOT.hands["left"]
_kinematics = Kinematics(ROBOT)
_kinematics.update(ROBOT.stand)
PULL = _kinematics.jacobian(HAND.link, HAND.point).T @ np.array([0.0, 60.0, 200.0])


def lean(angle: float) -> np.ndarray:
    return np.array([math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0])


def one(name: str, value: float, base: np.ndarray | None = None) -> np.ndarray:
    out = np.zeros(ROBOT.n) if base is None else base.copy()
    out[ROBOT.index(name)] = value
    return out


def _preview(world: MonitorWorld, a: float) -> dict[str, Any]:
    p = TwinPrediction(world.ros, 1, 1.0, 0.1, 0.1, 0.1, "SELF_COLLISION" if a > 0.05 else "", 1.2 * (1.0 - a))
    return {"prediction": Received(p, world.mono)}


def _command(world: MonitorWorld, a: float) -> dict[str, Any]:
    q = ROBOT.stand[UPPER].copy()
    q[4] += 2.0 * a
    return {"command": Received(JointCommand(world.ros + 10 * MS, 1, 1, "gate", NAMES, q), world.mono + 10 * MS)}


def _gate(world: MonitorWorld, a: float) -> dict[str, Any]:
    return {"gate": Received(GateStatus(world.ros, "holding", "NO_PERMIT", 0, 0, (), 1, 0, 0.0, a), world.mono)}


#: What grows worse with a in 0..1, everything else calm.
WORSE: dict[str, Change] = {
    "tilt": lambda w, a: {"state": {"orientation": lean(3.0 * a)}},
    "capture point": lambda w, a: {"twin": {"support_margin": 0.1 - 0.4 * a}},
    "centre of mass": lambda w, a: {"twin": {"com": np.array([0.03 + 0.4 * a, 0.0, 0.6])}},
    "temperature": lambda w, a: {"state": {"temperature": one("left_knee_joint", 35.0 + 70.0 * a)}},
    "voltage": lambda w, a: {"state": {"battery_voltage": 52.0 - 20.0 * a}},
    "age of the state": lambda w, a: {"state": {"stamp_ns": w.ros + 7 * MS - int(0.2 * a * NS)}},
    "silence of the twin": lambda w, a: {"twin_age": a},
    "position": lambda w, a: {"state": {"position": one("left_elbow_joint", 2.0 + 0.5 * a, ROBOT.stand)}},
    "velocity": lambda w, a: {"state": {"velocity": one("right_wrist_yaw_joint", 40.0 * a)}},
    "torque": lambda w, a: {"state": {"effort": one("left_elbow_joint", 60.0 * a)}},
    "residual": lambda w, a: {"twin": {"nis": np.full(ROBOT.n, 1e3 * a)}},
    "contact": lambda w, a: {"twin": {"external_torque": a * PULL}},
    "foot load": lambda w, a: {"state": {"foot_force": np.array([[0.0, 0.0, 3000.0 * a], [0.0, 0.0, 0.0]])}},
    "preview": _preview,
    "command": _command,
    "gate": _gate,
}


def run(kind: str, a: float, ticks: int = 20, poison: dict[str, Any] | None = None) -> Verdict:
    world = MonitorWorld()
    world.memory.level = Level.SAFE
    out = None
    for _ in range(ticks):
        change = WORSE[kind](world, a)
        if "twin_age" in change:
            twin = world.inputs().twin
            assert twin is not None
            change = {"twin_message": Received(twin.value, world.mono + 8 * MS - int(0.3 * change["twin_age"] * NS))}
        if poison:
            for part, fields in poison.items():
                change[part] = {**change.get(part, {}), **fields}
        message = change.pop("twin_message", None)
        out = world.tick(**change) if message is None else world.without(twin=message)
    assert out is not None
    return out


def well_formed(v: Verdict) -> None:
    assert isinstance(v.level, Level)
    assert isinstance(v.posture, Posture)
    assert v.level >= v.raw_level or v.latched
    assert 0.0 <= v.scale <= 1.0
    assert (v.scale == 0.0) == (v.level >= Level.DANGER)
    assert v.accept_new == (v.level <= Level.CAUTION)
    assert v.latched == (v.level == Level.EMERGENCY)
    assert len(v.violations) <= 16
    assert all(0.0 < x.severity <= 1.0 and x.code and x.since_ns > 0 for x in v.violations)


@pytest.mark.parametrize("kind", sorted(WORSE))
@given(a=st.floats(0.0, 1.0), more=st.floats(0.0, 1.0))
@settings(max_examples=cases(12), deadline=None)
def test_a_worse_input_never_lowers_the_level(kind: str, a: float, more: float) -> None:
    mild, bad = run(kind, a), run(kind, min(a + more, 1.0))
    well_formed(mild)
    well_formed(bad)
    assert bad.raw_level >= mild.raw_level
    assert bad.level >= mild.level


@pytest.mark.parametrize("kind", sorted(WORSE))
def test_each_of_them_does_raise_the_level(kind: str) -> None:
    """So that the property above is about something."""
    assert run(kind, 0.0).level == Level.SAFE
    assert run(kind, 1.0).level >= Level.CAUTION


@given(st.floats(-0.05, 0.1), st.floats(0.0, 0.1), st.floats(-1.0, 3.0), st.floats(0.0, 3.0))
@settings(max_examples=cases(300), deadline=None)
def test_nearer_or_faster_is_never_better(distance: float, less: float, approach: float, more: float) -> None:
    world = MonitorWorld()
    tick = Tick(world.inputs(), world.mono, ROBOT, MONITOR, world.memory, None)

    def worst(d: float, v: float) -> float:
        found = findings("SELF_COLLISION", [Contact("a", "b", d, v, False, 0.001)], tick)
        return max((f.severity for f in found), default=0.0)

    assert level_of(worst(distance - less, approach + more)) >= level_of(worst(distance, approach))
    if approach <= 0.0:
        assert level_of(worst(distance, approach)) <= Level.CAUTION, "the way out stays open"


_STATE = [("state", f) for f in ("position", "velocity", "effort", "temperature", "orientation", "angular_velocity",
                                 "linear_acceleration", "foot_force")]
_TWIN = [("twin", f) for f in ("position", "velocity", "com", "capture_point", "nis", "external_torque")]


@given(st.sampled_from(sorted(WORSE)), st.floats(0.0, 1.0), st.sampled_from(_STATE + _TWIN), st.integers(0, 60),
       st.sampled_from([math.nan, math.inf, -math.inf]))
@settings(max_examples=cases(60), deadline=None)
def test_nan_anywhere_never_gives_a_lower_level(kind: str, a: float, field: tuple[str, str], place: int,
                                                bad: float) -> None:
    """Whatever else is wrong at the same time, in another field."""
    world = MonitorWorld()
    part, name = field
    if name in WORSE[kind](world, a).get(part, {}):
        return
    value = getattr(calm_state(0) if part == "state" else calm_twin(0), name).copy()
    value.flat[place % value.size] = bad
    broken = run(kind, a, poison={part: {name: value}})
    well_formed(broken)
    assert broken.raw_level >= run(kind, a).raw_level


def story(seed: int, ticks: int) -> list[Verdict]:
    """A wild quarter of a minute."""
    world, rng = MonitorWorld(), np.random.default_rng(seed)
    out = []
    for _ in range(ticks):
        changes: dict[str, Any] = {"state": {}, "twin": {}}
        for kind in rng.choice(sorted(WORSE), size=rng.integers(0, 3), replace=False):
            for part, what in WORSE[kind](world, float(rng.uniform())).items():
                if isinstance(what, dict):
                    changes[part].update(what)
                elif part != "twin_age":
                    changes[part] = what
        if rng.uniform() < 0.01:
            changes["estops"] = world.beat("panel", bool(rng.uniform() < 0.5), len(out) + 1)
        out.append(world.tick(**changes))
    return out


def test_the_same_inputs_give_the_same_bytes_a_hundred_times() -> None:
    first = pickle.dumps(story(4, 10))
    assert all(pickle.dumps(story(4, 10)) == first for _ in range(99))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=cases(10), deadline=None)
def test_every_verdict_is_well_formed(seed: int) -> None:
    for verdict in story(seed, 40):
        well_formed(verdict)


def test_memory_does_not_grow() -> None:
    """Allocated blocks, after every window is full. `HUMANOID_TICKS=100000` for the long run."""
    ticks = int(os.environ.get("HUMANOID_TICKS", "600"))
    world, rng = MonitorWorld(), np.random.default_rng(0)

    def some(count: int) -> int:
        for k in range(count):
            world.tick(state={"velocity": rng.normal(0.0, 1.0, ROBOT.n)}, estops=world.beat(f"s{k % 5}", False, k + 1),
                       heard=(("ingest/robot_state", 2), ("vla/joint_command", 1)))
        gc.collect()
        return sys.getallocatedblocks()

    some(300)  # the rates' second; slopes come to their end with the temperatures of 20 s and the voltages of 60 s
    before = some(100)
    assert some(ticks) - before < 1500
