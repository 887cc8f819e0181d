"""What the twin promises, each promise by itself: it shows when the part that keeps it is taken out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from humanoid_bench.reaching import Reaching
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, RobotState, SensorHealth, SourceHealth
from sim_nodes.core.sensors import SensorParams
from twin_nodes.core.health import Health
from twin_nodes.core.twin import TwinCore

ROBOT = load_robot("g1")
N = ROBOT.n
ARM = [i for side in ("left_arm", "right_arm") for i in ROBOT.groups[side]]


def watched(world: Reaching) -> TwinCore:
    """The twin at the end of its wires."""
    core = TwinCore(ROBOT)
    world.on_state = lambda state, now_ns: core.on_state(state, now_ns) and None
    world.on_command = lambda command, now_ns: core.on_command(command) and None
    return core


def test_friction_of_a_sound_joint_is_no_external_torque() -> None:
    """What the gears lose goes against the motion; uncompensated it would be 0.2 N m of that sign."""
    world, core, seen = Reaching(ROBOT, 3, SensorParams()), TwinCore(ROBOT), []  # type: ignore[var-annotated]

    def hear(state: RobotState, now_ns: int) -> None:
        twin = core.on_state(state, now_ns)
        if twin is not None:
            seen.append((twin.velocity[ARM], twin.external_torque[ARM]))

    world.on_state = hear
    world.on_command = lambda command, now_ns: core.on_command(command) and None
    world.run(10.0)
    velocity, external = (np.array(values) for values in zip(*seen[300:], strict=True))
    moving = np.abs(velocity) > 0.3
    along = (external * np.sign(velocity))[moving].mean()
    assert moving.sum() > 1000
    assert abs(along) < 0.25 * ROBOT.frictionloss[ARM].mean()


def test_commands_are_taken_to_act_when_they_do() -> None:
    """25 ms on their way, in fast moves: the twin that knows expects what it measures (without, 3.6 instead of 0.3)."""
    world = Reaching(ROBOT, 4, SensorParams(), speed=2.5)
    world.way.delay = 0.025
    core = watched(world)
    world.run(5.0)
    assert core.state is not None
    delays = {topic: delay for topic, delay, _ in core.state.source_delay}
    assert delays["robot/joint_command"] == pytest.approx(0.025, abs=0.004)
    nis: list[float] = []
    for _ in range(300):
        world.run(0.01)
        nis.append(float(core.state.nis[ARM].mean()))
    assert np.mean(nis) < 1.0


def test_a_robot_that_follows_somebody_else_is_a_matter_of_the_model() -> None:
    world, core = Reaching(ROBOT, 5, SensorParams()), TwinCore(ROBOT)
    other = False

    def tell(command: JointCommand, now_ns: int) -> None:
        core.on_command(replace(command, position=command.position + 0.3) if other else command)

    world.on_state = lambda state, now_ns: core.on_state(state, now_ns) and None
    world.on_command = tell
    world.run(4.0)
    other = True
    said: set[str] = set()
    for _ in range(200):
        world.run(0.01)
        said |= {a.split()[0] for a in core.diagnosed.anomalies} if core.diagnosed is not None else set()
    assert "MODEL" in said
    assert "ACTUATOR" not in said, "not so many broken motors"


def test_an_encoder_that_stands_still_while_its_joint_is_moved_is_named() -> None:
    world, core = Reaching(ROBOT, 6, SensorParams()), TwinCore(ROBOT)
    elbow, held = ROBOT.joint_names.index("left_elbow_joint"), None

    def hear(state: RobotState, now_ns: int) -> None:
        if held is not None:
            position, velocity = state.position.copy(), state.velocity.copy()
            position[elbow], velocity[elbow] = held, 0.0
            state = replace(state, position=position, velocity=velocity)
        core.on_state(state, now_ns)

    world.on_state = hear
    world.on_command = lambda command, now_ns: core.on_command(command) and None
    world.run(4.0)
    assert core.latest is not None
    held = float(core.latest.position[elbow])
    said: set[str] = set()
    for _ in range(200):
        world.run(0.01)
        said |= set(core.diagnosed.anomalies) if core.diagnosed is not None else set()
    assert {" ".join(a.split()[:2]) for a in said} == {"SENSOR left_elbow_joint"}, "and no motor is called weak"


@pytest.mark.parametrize("kind", ["friction", "tracking"])
def test_what_gets_worse_in_an_actuator_is_told_with_when_and_what_to_do(kind: str) -> None:
    health = Health(ROBOT)
    for k in range(400):
        worse = 1.0 + 0.002 * k
        health.friction(3, 0.0, 0.2 * worse if kind == "friction" else 0.2)
        error = np.full(N, 0.001)
        error[3] = 0.012 * worse if kind == "tracking" else 0.001
        health.sample(error, np.full(N, 35.0))
        found = health.report(k * NS)[3]
    assert found.trend == kind
    assert 0.0 <= found.time_low <= found.time_to_threshold <= found.time_high
    assert found.recommendation.startswith(kind)
    assert not health.report(400 * NS)[4].trend


def test_the_way_of_the_other_sources_is_told() -> None:
    """As long as the sample took, not as old as it is when ingest says so; and how fast that changes."""
    core, growing = TwinCore(ROBOT), 1e-3
    for k in range(1, 601):
        now = 1000 * NS + k * 100 * MS
        delay_ms = 30.0 + growing * 100.0 * k
        source = SourceHealth("imu/pelvis", "ok", True, "", k, delay_ms + 60.0, 200.0, 200.0, 0.1, 5.0, 0,
                              delay_ms=delay_ms)
        core.on_health(SensorHealth(now, (source,), True))
    twin = core.on_state(RobotState(now, 1, ROBOT.stand, np.zeros(N), np.zeros(N), np.full(N, 40.0),
                                    np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 9.81]),
                                    np.zeros((2, 3)), 50.0, -2.0), now)
    assert twin is not None
    (delay, drift), = ((delay, drift) for topic, delay, drift in twin.source_delay if topic == "imu/pelvis")
    assert delay == pytest.approx(0.0895, abs=0.002)
    assert drift == pytest.approx(growing, rel=0.05)
