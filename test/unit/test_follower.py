"""Set-points for ros2_control: followed, refused, held, and never with a step."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Mode
from robot_nodes.core.follower import Follower, FollowerConfig

T1 = load_robot("t1")
JOINTS = tuple(reversed([T1.joint_names[i] for i in T1.groups["left_arm"]]))  # the controller has an order of its own


class Ticks:
    def __init__(self) -> None:
        self.core, self.now, self.pose = Follower(T1, JOINTS, FollowerConfig()), NS, T1.stand.copy()

    def run(self, count: int, q: np.ndarray | None = None, mode: Mode = Mode.RUN, state: bool = True) -> list:
        out = []
        for _ in range(count):
            self.now += 10 * MS
            if state:
                self.core.measured(("camera_pan", *T1.joint_names), np.array([0.0, *self.pose]), self.now)
            command = [] if q is None else [JointCommand(self.now, 1, 1, "gate", JOINTS,
                                                         np.array([q[T1.index(n)] for n in JOINTS]))]
            out.append(self.core.step(self.now, command, mode))
        return out


def moved(by: float) -> np.ndarray:
    q = T1.stand.copy()
    q[T1.index("Left_Elbow_Pitch")] += by
    return q


def test_set_points_come_in_the_controllers_order_and_without_a_step() -> None:
    t = Ticks()
    out = np.array(t.run(60, moved(0.25)))
    assert out[-1] == pytest.approx([moved(0.25)[T1.index(n)] for n in JOINTS])
    column = JOINTS.index("Left_Elbow_Pitch")
    fastest = 1.5 * T1.command_velocity[T1.index("Left_Elbow_Pitch")] * 0.01
    assert np.max(np.abs(np.diff(out[:, column]))) <= fastest + 1e-9
    assert out[0, column] == pytest.approx(T1.stand[T1.index("Left_Elbow_Pitch")], abs=fastest)


def test_nothing_is_said_without_joint_states_and_a_command_then_is_refused() -> None:
    t = Ticks()
    assert t.run(20, moved(0.1), state=False) == [None] * 20
    assert (t.core.reason, t.core.refused["NO_STATE"]) == ("NO_STATE", 20)


def test_a_first_set_point_far_from_the_robot_is_refused() -> None:
    t = Ticks()
    assert t.run(5, moved(0.6)) == [None] * 5
    assert t.core.reason == "JUMP"


@pytest.mark.parametrize(("mode", "q", "reason"), [(Mode.HOLD, 0.1, "robot/mode HOLD"), (Mode.DAMP, 0.1,
                                                                                        "robot/mode DAMP"),
                                                   (Mode.RUN, None, "NO_COMMAND")])
def test_it_holds_with_the_reason(mode: Mode, q: float | None, reason: str) -> None:
    t = Ticks()
    t.run(60, moved(0.1))
    assert t.run(20, None if q is None else moved(q), mode)[-1] is None
    assert t.core.reason == reason


def test_after_a_loss_it_begins_from_where_the_robot_is() -> None:
    t = Ticks()
    t.run(60, moved(0.1))
    t.run(30, moved(0.1), state=False)
    assert t.core.reason == "NO_STATE"
    t.pose = moved(-0.5)
    assert t.run(5, moved(0.1)) == [None] * 5
    assert t.core.refused["JUMP"] == 5
    assert t.run(1, moved(-0.4))[0] is not None


def test_a_joint_that_is_not_the_controllers_is_refused() -> None:
    t = Ticks()
    t.run(1)
    command = JointCommand(t.now, 1, 1, "gate", ("Waist",), np.zeros(1))
    t.core.step(t.now, [command], Mode.RUN)
    assert t.core.refused["NOT_CONTROLLED"] == 1
