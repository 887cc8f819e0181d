"""K1 to K4: settings that no node may start with. Each is a node's parameters, or a change of the robot file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """``setting`` key and value as on a command line; ``robot``: an edit (old, new) of the robot file instead.
    ``words``: what the one line of the refusal must say."""

    id: str
    doc: str
    node: str = "safety_monitor"
    setting: tuple[str, str] = ("", "")
    robot: tuple[str, str] = ("", "")
    words: tuple[str, ...] = ()
    running: bool = False  # set while it runs, by set_parameters


REFUSALS = (
    Refusal("K1", "a joint's limit is missing", robot=("{axis: [0.0, 1.0, 0.0], lower: -2.5307, ",
                                                       "{axis: [0.0, 1.0, 0.0], "),
            words=("left_hip_pitch_joint", "lower")),
    Refusal("K1-inverted", "a joint's limits are inverted", robot=("lower: -0.87267, upper: 0.5236, effort: 35.0",
                                                                   "lower: 0.87267, upper: -0.5236, effort: 35.0"),
            words=("left_ankle_pitch_joint",)),
    Refusal("K1-steps", "a rule's steps are inverted", setting=("tilt_danger", "0.3"),
            words=("tilt_warning", "tilt_danger = 0.3")),
    Refusal("K1-nan", "a dwell that is not a number", setting=("dwell", ".nan"), words=("dwell = nan",)),
    Refusal("K1-robot-nan", "a joint's limit is not a number", robot=("upper: 2.8798, effort: 88.0",
                                                                      "upper: .nan, effort: 88.0"),
            words=("left_hip_pitch_joint", "nan")),
    Refusal("K1-zero", "a timeout of zero", setting=("state_timeout", "0.0"), words=("state_timeout = 0.0",)),
    Refusal("K1-gate", "a timeout of zero at the gate", "command_gate", ("command_max_age", "0.0"),
            words=("command_max_age = 0.0",)),
    Refusal("K2", "robot file and model disagree on a joint's name",
            robot=("joint: left_elbow_joint", "joint: left_elbow_jiont"), words=("left_elbow",)),
    Refusal("K3", "a limit is loosened while the monitor runs", setting=("tilt_danger", "1.4"),
            words=("read-only",), running=True),
    Refusal("K3-gate", "a limit is loosened while the gate runs", "command_gate", ("rate_tolerance", "2.0"),
            words=("read-only",), running=True),
    Refusal("K4", "a mistyped parameter", setting=("tilt_warnin", "0.3"),
            words=("unknown parameter 'tilt_warnin'", "did you mean 'tilt_warning'")),
    Refusal("K4-robot", "a mistyped key of the robot file", robot=("friction: 0.6", "frictoin: 0.6"),
            words=("frictoin", "friction")),
)
