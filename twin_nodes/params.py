"""ROS parameters of sensor_ingest and twin_sync. Facts of the robot stand in its file, not here."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_core.environment import load_environment
from humanoid_core.robot_model import RobotModel
from humanoid_ros.params import param
from twin_nodes.core.prediction import Predictor
from twin_nodes.core.twin import TwinConfig


@dataclass(frozen=True)
class IngestParams:
    """Parameters of sensor_ingest."""

    robot: str = param("g1", "robot file: a name in config/robots, or a path")
    future_ms: float = param(5.0, "how far a stamp may lie ahead of now", "ms", 0.0, 1000.0)
    clock_lag_ms: float = param(50.0, "the same with use_sim_time: samples may overtake /clock, a topic of its own",
                                "ms", 0.0, 1000.0)
    handback_ms: float = param(500.0, "how long a source must be good before it takes over from its backup", "ms",
                               0.0, 60000.0)
    position_margin: float = param(0.2, "beyond its limits at which a joint position cannot be true", "rad or m",
                                   0.0, 10.0)
    disagreement: float = param(0.06, "angle between the verticals of two IMUs that counts as disagreement", "rad",
                                0.001, 3.2)
    estimate_for: float = param(10.0, "how long the twin's estimate may stand in for a joint's lost sensor", "s",
                                0.0, 60.0)
    watch_camera: bool = param(True, "watch the camera's age and freezing (pictures are not changed)")


@dataclass(frozen=True)
class TwinParams:
    """Parameters of twin_sync."""

    robot: str = param("g1", "robot file: a name in config/robots, or a path")
    stale_ms: float = param(40.0, "silence of ingest/robot_state after which the twin is STALE", "ms", 5.0, 10000.0)
    position_noise: float = param(0.0005, "standard deviation of a joint position sample", "rad", 0.0, 1.0)
    velocity_noise: float = param(0.02, "standard deviation of a joint velocity sample", "rad/s", 0.0, 10.0)
    effort_noise: float = param(0.05, "standard deviation of a joint torque sample", "N m", 0.0, 100.0)
    command_jitter_ms: float = param(2.0, "by how much the moments at which commands begin to act vary, sigma", "ms",
                                     0.0, 100.0)
    contact_share: float = param(0.05, "share of the robot's weight on a foot that counts as contact", "",
                                 0.001, 0.5)
    horizon: float = param(0.5, "how far a prediction looks ahead", "s", 0.05, 5.0)
    self_distance_cap: float = param(0.05, "distance between links above which the twin does not look closer", "m",
                                     0.0, 1.0)
    environment: str = param("", "what stands around: a name in config/environments or a path, '' for nothing")
    self_margin: float = param(0.001, "links keep this far from one another", "m", 0.0, 0.05)
    preview_share: float = param(0.12, "share of a processor for looking ahead; beyond it looks are left out",
                                 "", 0.01, 1.0)

    def core(self) -> TwinConfig:
        """What the twin's core takes of it."""
        return TwinConfig(self.stale_ms, self.position_noise, self.velocity_noise, self.effort_noise,
                          self.contact_share, command_jitter_ms=self.command_jitter_ms)

    def predictor(self, robot: RobotModel) -> Predictor:
        """What looks ahead; raises ``EnvironmentFileError``."""
        return Predictor(robot, self.horizon, self.self_distance_cap, load_environment(self.environment),
                         self.self_margin)
