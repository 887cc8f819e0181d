"""Parameters of bag_recorder and bag_player: each default once, here."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_ros.params import param


@dataclass(frozen=True)
class BagRecorderParams:
    """bag_recorder."""

    robot: str = param("g1", "robot file: a name in config/robots or a path")
    path: str = param("", "folder of the new recording; '': ~/.humanoid_twin/bags/<time>")
    storage: str = param("mcap", "file format", choices=("mcap", "sqlite3"))
    pictures: bool = param(True, "record the camera too")
    split_seconds: float = param(0.0, "length of a part, 0: never split by time", "s", low=0.0, high=86400.0)
    split_mib: int = param(0, "size of a part before compression, 0: never split by size", "MiB", low=0, high=100000)
    ring: float = param(0.0, "keep only the last seconds, 0: keep everything", "s", low=0.0, high=86400.0)
    save_on: str = param("DANGER", "safety level at which a ring is saved for good, '': never",
                         choices=("", "WARNING", "DANGER", "EMERGENCY"))
    save_after: float = param(5.0, "how long recording goes on before a ring is saved", "s", low=0.0, high=600.0)


@dataclass(frozen=True)
class BagPlayerParams:
    """bag_player. It always publishes /clock."""

    bag: str = param("", "recording to play: a rosbag2 folder, .mcap, .db3 or ROS 1 .bag file")
    rate: float = param(1.0, "speed of time", low=0.01, high=100.0)
    start: float = param(0.0, "where to begin", "s", low=0.0, high=1e6)
    loop: bool = param(False, "begin again at the end")
    everything: bool = param(False, "also play what the nodes had published")
    wait: float = param(10.0, "longest time to wait for listeners", "s", low=0.0, high=600.0)
    map: str = param("", "YAML file that names topics and joints of a foreign robot")
