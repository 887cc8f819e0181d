"""Parameters of vla_policy: each default once, here."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_ros.params import param


@dataclass(frozen=True)
class VlaParams:
    """vla_policy."""

    robot: str = param("g1", "robot file: a name in config/robots or a path")
    backend: str = param("classical", "which policy acts",
                         choices=("classical", "openpi", "gr00t", "openvla", "lerobot", "hf"))
    policy: str = param("", "policy contract of every backend but classical: a name in config/policies or a path")
    server: str = param("", "address of the policy's server instead of the contract's")
    rate: float = param(100.0, "set-points per second while acting", "Hz", low=50.0, high=200.0)
    timeout: float = param(45.0, "time for a task that brings no limit of its own", "s", low=1.0, high=600.0)
    patience: float = param(8.0, "time without picture, state or leave to move before a task fails", "s",
                            low=0.5, high=60.0)  # fmt: skip
    settle: float = param(0.3, "leave to move must have lasted this long before motion begins", "s",
                          low=0.05, high=5.0)  # fmt: skip
    permit_age: float = param(0.1, "silence of safety/permit that counts as no leave", "s", low=0.03, high=1.0)
    resumes: int = param(5, "interruptions after which a task is given up", "", low=0, high=100)
    picture_age: float = param(0.3, "oldest picture that is looked at", "s", low=0.05, high=2.0)
    state_age: float = param(0.1, "oldest robot state that is planned from", "s", low=0.01, high=1.0)
    skew: float = param(0.02, "greatest distance in time between picture, depth and joints", "s",
                        low=0.001, high=0.2)  # fmt: skip
    fade: float = param(0.15, "shortest blend where one chunk follows another", "s", low=0.02, high=1.0)
    hold: float = param(0.3, "time the last set-point is repeated after a chunk ran out", "s", low=0.0, high=5.0)
    max_age: float = param(1.0, "oldest observation whose chunk is still taken", "s", low=0.1, high=5.0)
    ensemble: float = param(-1.0, "m of temporal ensembling, weights exp(-m i) from the oldest chunk on; negative: off",
                            "", low=-1.0, high=10.0)  # fmt: skip
