"""The whole house in one process and in simulated time: no ROS, no waiting, the same run for the same seed.

The simulated robot with its sensors and faults, and the cores as their nodes feed them (humanoid_replay/stages.py), in
the order of the data: 200 times a second the robot moves and its sensors speak, 100 times a second the policy, the
monitor and the gate tick. The load of the machine changes nothing, so hundreds of seeds can be compared; what this
cannot show is what middleware, scheduling and processes do, which the real graph is there for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from humanoid_bench.policy import ENDLESS, Policy
from humanoid_core.robot_model import RobotModel
from humanoid_core.sender import OneGate
from humanoid_core.timing import MS, NS
from humanoid_replay.stages import SafetyStage, Stage
from humanoid_replay.through import Settings, make_stages
from sim_nodes.core.faults import FaultBoard
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import SensorParams, Sensors, topics_of
from sim_nodes.core.truth import Truth
from vla_nodes.backends.base import Backend
from vla_nodes.params import VlaParams

TICK_NS = 5 * MS
#: ROS time at the start; stamps are never zero.
START_NS = 1_000 * NS
#: What waits for a stage that is frozen, per topic; as the depth of a node's inbox.
DEPTH = 8
GRAPH = ("ingest", "twin", "safety", "gate")

Filter = Callable[[Any], Any]
Listener = Callable[[Any, int], None]


class Lockstep:
    """One robot with everything that runs on it. ``newest[topic]``: the last value that anybody published.

    ``policy``: '' for none, 'reach' for endless seeded reaches without looking, 'classical' for the policy that looks
    (pictures are drawn off-screen), or a backend that was made elsewhere; ``vla`` are then its node's parameters.
    ``settings``: (node, parameter, value).
    """

    def __init__(self, robot: RobotModel, *, seed: int = 0, plant: PlantParams | None = None,
                 sensors: SensorParams | None = None, policy: str | Backend = "", settings: Settings = (),
                 stages: tuple[str, ...] = GRAPH, vla: VlaParams = ENDLESS) -> None:
        self.robot = robot
        self.plant = Plant(robot, replace(plant or PlantParams(), seed=seed))
        self.truth = Truth(self.plant)
        self.faults = FaultBoard(robot, topics_of(robot), seed)
        self.sensors = Sensors(self.plant, self.faults, replace(sensors or SensorParams(), seed=seed))
        self.stages: dict[str, Stage] = {s.name: s for s in make_stages(stages, robot, settings)}
        self.policy = (Policy(robot, policy, self.plant, self.sensors, seed, vla)
                       if isinstance(policy, Backend) or policy else None)
        if self.policy is not None:
            self.stages = {"policy": self.policy, **self.stages}
        self.newest: dict[str, Any] = {}
        self.obeyed = OneGate()
        monitor = self.stages.get("safety")
        self._monitor = monitor if isinstance(monitor, SafetyStage) else None
        self._dead: set[str] = set()
        self._frozen: dict[str, int] = {}  # stage -> until
        self._waiting: dict[str, dict[str, deque[tuple[str, Any, int, bytes]]]] = {}
        self._filters: dict[str, list[Filter]] = defaultdict(list)
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._ticks = 0
        self._wall_ns = 0

    def close(self) -> None:
        if self.policy is not None:
            self.policy.close()

    def __enter__(self) -> Lockstep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def now_ns(self) -> int:
        """Monotonic time; ROS time as well, until ``step_clock``."""
        return START_NS + self.plant.time_ns

    @property
    def ros_ns(self) -> int:
        return self.now_ns + self._wall_ns

    def step_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock of the machine on which everything runs; the policy here does not notice."""
        self._wall_ns += round(seconds * NS)
        for stage in self.stages.values():
            if hasattr(stage, "wall_ns"):
                stage.wall_ns = self._wall_ns

    def stage(self, name: str) -> Any:
        """'ingest', 'twin', 'safety', 'gate' or 'policy'; its core is an attribute of it."""
        return self.stages[name]

    # --- what a person or a fault does

    def instruct(self, text: str) -> None:
        """Ask the policy for something."""
        if self.policy is None:
            raise ValueError("this house has no policy")
        self.policy.instruct(text, self.now_ns)

    def reset(self, operator: str) -> Any:
        """Ask the monitor to let go of its latch, as the service safety/reset; the answer."""
        monitor = self._monitor
        if monitor is None:
            raise ValueError("this house has no monitor")
        answer, events = monitor.reset(operator, self.now_ns)
        for topic, value in events:
            self._publish(topic, value, b"safety")
        return answer

    def say(self, topic: str, value: Any, sender: bytes = b"outside") -> None:
        """Publish something from outside the graph: a stop, an override, a foreign command."""
        self._publish(topic, value, sender)

    def filter(self, topic: str, change: Filter) -> Callable[[], None]:
        """From now on everything on ``topic`` goes through ``change`` (None: it is lost). Returns what ends that."""
        self._filters[topic].append(change)
        return lambda: self._filters[topic].remove(change)

    def listen(self, topic: str, hear: Listener) -> None:
        """Call ``hear(value, now_ns)`` for everything that is published on ``topic``."""
        self._listeners[topic].append(hear)

    def kill(self, name: str) -> None:
        """The process of a stage ends at once."""
        if name not in self.stages:
            raise ValueError(f"no stage '{name}'; there are {', '.join(self.stages)}")
        self._dead.add(name)

    def freeze(self, name: str, seconds: float) -> None:
        """The process of a stage is suspended; what comes meanwhile waits in its inboxes."""
        if name not in self.stages:
            raise ValueError(f"no stage '{name}'; there are {', '.join(self.stages)}")
        self._frozen[name] = self.now_ns + round(seconds * NS)
        self._waiting[name] = defaultdict(lambda: deque(maxlen=DEPTH))

    # --- time

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Advance by ``seconds``, or until ``until()`` (asked every 10 ms) says yes; whether it did."""
        end = self.now_ns + round(seconds * NS)
        while self.now_ns < end:
            self.step()
            if until is not None and self._ticks % 2 == 0 and until():
                return True
        return False

    def step(self) -> None:
        """One tick of 5 ms: physics, sensors, and every second time the loops."""
        plant = self.plant
        self.faults.expire(plant.time_ns)
        self.faults.drive(plant.motors, TICK_NS / NS)
        plant.step(TICK_NS // plant.dt_ns)
        for topic, sample in self.sensors.tick(plant.time_ns, self.ros_ns):
            self._publish(topic, sample, b"robot")
        if self.policy is not None and "policy" not in self._dead:
            for topic, sample in self.policy.look(self.now_ns):
                self._publish(topic, sample, b"robot")
        self._thaw()
        self._ticks += 1
        if self._ticks % 2 == 0:
            for name, stage in self.stages.items():
                if name not in self._dead and name not in self._frozen:
                    for topic, value in stage.tick(self.now_ns, self._ticks // 2 - 1):
                        self._publish(topic, value, name.encode())

    def _thaw(self) -> None:
        for name in [n for n, until in self._frozen.items() if self.now_ns >= until]:
            del self._frozen[name]
            for letters in self._waiting.pop(name).values():
                for topic, value, arrival_ns, sender in letters:
                    self._hand(name, topic, value, arrival_ns, sender)

    # --- the wires

    def _publish(self, topic: str, value: Any, sender: bytes) -> None:
        for change in self._filters[topic]:
            value = change(value)
            if value is None:
                return
        self.newest[topic] = value
        for hear in self._listeners[topic]:
            hear(value, self.now_ns)
        self.to_robot(topic, value, sender)
        if self._monitor is not None:
            self._monitor.heard_from(topic, sender, self.now_ns)
        for name, stage in self.stages.items():
            if topic in stage.inputs and name not in self._dead:
                if name in self._frozen:
                    self._waiting[name][topic].append((topic, value, self.now_ns, sender))
                else:
                    self._hand(name, topic, value, self.now_ns, sender)

    def to_robot(self, topic: str, value: Any, sender: bytes) -> None:
        """The robot's end of the wires; a house with another way to the robot has another one here."""
        if topic == "robot/joint_command":
            if not self.obeyed.command(sender, self.now_ns):
                self.plant.command(value)
        elif topic == "robot/mode":
            self.obeyed.mode(sender, self.now_ns, value)
            order = self.obeyed.order(self.now_ns)
            if order is not None:
                self.plant.set_mode(order[0].mode, order[0].reason)

    def _hand(self, name: str, topic: str, value: Any, arrival_ns: int, sender: bytes) -> None:
        for said_topic, said in self.stages[name].on(topic, value, arrival_ns, sender):
            self._publish(said_topic, said, name.encode())
