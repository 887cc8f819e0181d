"""Plays a row of the fault matrix in the house in lockstep: one process, simulated time, the same run for a seed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from humanoid_bench.faults.beats import Beats
from humanoid_bench.faults.judge import Answer, judge
from humanoid_bench.faults.mover import Mover
from humanoid_bench.faults.row import Heard, NotPossible, Row, Wrong
from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import EStopState, JointCommand, Level
from humanoid_replay.through import Settings
from safety_nodes.core.monitor import reset
from sim_nodes.core.plant import PlantParams
from sim_nodes.core.sensors import SensorParams

STAGE = {"safety_monitor": "safety", "command_gate": "gate", "sensor_ingest": "ingest", "twin_sync": "twin"}
HEARD = ("safety/status", "safety/gate", "robot/mode", "robot/joint_command", "ingest/sensor_health", "twin/state",
         "safety/events")
TRUTH_NS = 10 * MS
TABLE = (("safety_monitor", "environment", "table"), ("command_gate", "environment", "table"))
#: A hand may rest on the table; beyond this force, N, anything that touches counts.
TOUCH = 10.0


class House:
    """A world for rows. ``heard`` begins anew with each injection but for the last half second."""

    def __init__(self, robot: RobotModel, seed: int = 0, table: bool = False, deaf: bool = False,
                 settings: Settings = ()) -> None:
        plant = PlantParams() if table else PlantParams(objects="")
        self.robot, self.house = robot, Lockstep(robot, seed=seed, plant=plant, sensors=SensorParams(),
                                            settings=(*settings, *(TABLE if table else ())))
        self.heard: dict[str, list[Heard]] = {topic: [] for topic in (*HEARD, "sim/truth")}
        self.codes: set[str] = set()
        self.mover, self.beats = Mover(robot), Beats()
        self._policy_back_ns: int | None = 0  # the policy speaks from then on; None: never
        self._latest: JointCommand | None = None
        self._truth_ns = 0
        self._nonces = itertools.count(1)
        self._contacts: set[str] = set()
        self._things = {thing.name for thing in self.house.plant.scene.things}
        for topic in HEARD:
            self.house.listen(topic, self._listener(topic))
        if deaf:
            self.house.filter("joint_states", lambda value: None)

    def close(self) -> None:
        self.house.close()

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- time

    def now_ns(self) -> int:
        return self.house.now_ns

    def ros_ns(self) -> int:
        return self.house.ros_ns

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        end = self.now_ns() + round(seconds * NS)
        while self.now_ns() < end:
            self._speak()
            self.house.step()
            self.house.step()
            self._see()
            if until is not None and until():
                return True
        return False

    def _speak(self) -> None:
        for state in self.beats.due(self.now_ns(), self.ros_ns()):
            self.house.say("safety/estop", state, b"inject")
        if self._policy_back_ns is None or self.now_ns() < self._policy_back_ns:
            return
        setpoint = None if self._latest is None else self._latest.position
        for command in self.mover.commands(self.now_ns(), self.ros_ns(), self.last("safety/gate"), setpoint):
            self.house.say("vla/joint_command", command, b"mover")

    def _see(self) -> None:
        now = self.now_ns()
        if now - self._truth_ns >= TRUTH_NS:
            self._truth_ns = now
            self.heard["sim/truth"].append(Heard(now, self.house.truth.read()))
        for a, b, newton in self.house.truth.contacts():
            if newton > TOUCH and not (self._scenery(a) and self._scenery(b)):
                self._contacts.add(f"{a} and {b}")

    def _scenery(self, geom: str) -> bool:
        return geom == "floor" or geom.startswith("table") or geom in self._things

    # --- what can be done

    def fault(self, name: str, target: str, value: float, seconds: float) -> None:
        self.house.faults.set(name, target, value, seconds, self.house.plant.time_ns)

    def push(self, link: str, impulse: tuple[float, float, float]) -> None:
        self.house.plant.push(np.array(impulse), 0.1, link)

    def kill(self, node: str) -> None:
        if node == "vla_policy":
            self._policy_back_ns = None
        else:
            self.house.kill(self._stage(node))

    def freeze(self, node: str, seconds: float) -> None:
        if node == "vla_policy":
            self._policy_back_ns = self.now_ns() + round(seconds * NS)
        else:
            self.house.freeze(self._stage(node), seconds)

    def _stage(self, node: str) -> str:
        if node not in STAGE:
            raise NotPossible(f"{node} is no process of its own in lockstep")
        return STAGE[node]

    def say(self, topic: str, value: Any, sender: str = "inject") -> None:
        if isinstance(value, EStopState):
            self.beats.said(value)
        self.house.say(topic, value, sender.encode())

    def as_policy(self, change: Callable[[JointCommand], list[JointCommand]] | None) -> None:
        self.mover.change = change

    def wire(self, topic: str, change: Callable[[Any], Any]) -> Callable[[], None]:
        return self.house.filter(topic, change)

    def reset(self, operator: str = "inject", nonce: int | None = None) -> tuple[bool, str]:
        stage = self.house.stage("safety")
        answer = reset(10**6 + next(self._nonces) if nonce is None else nonce, operator, self.now_ns(), stage.config,
                       stage.memory)
        return answer.accepted, f"{answer.code}: {answer.text}" if answer.code else ""

    def step_clock(self, seconds: float, between: bool = False) -> None:
        """``between``: half-way from one tick of the loops to the next."""
        if between:
            self.house.step()
        self.house.step_clock(seconds)
        if between:
            self.house.step()

    def hold_clock(self, held: bool) -> None:
        """/clock stands still: so do the stamps of a simulated robot, and nothing new comes of it."""
        if held:
            self._clock_off = [self.house.filter(topic, lambda value: None) for topic in self.robot.sources]
        else:
            for off in self._clock_off:
                off()

    def raise_in(self, node: str) -> None:
        """An error in a loop ends the process (humanoid_ros/node.py)."""
        self.kill(node)

    def break_stop_handler(self) -> None:
        """Whoever asks the stop sources gets an exception, and a press comes at the same time."""
        def broken(*_: object) -> Any:
            raise RuntimeError("broken on purpose")

        self.house.stage("safety").memory.stops.pressed = broken
        self.say("safety/estop", EStopState(self.ros_ns(), "panel", True, 1))

    def touched(self) -> str:
        return ", ".join(sorted(self._contacts))

    def retreat(self) -> None:
        """The policy takes its normal motion up again."""
        self.mover.change, self.mover.willing = None, True

    # --- what was seen

    def last(self, topic: str) -> Any:
        return self.heard[topic][-1].value if self.heard.get(topic) else None

    def _listener(self, topic: str) -> Callable[[Any, int], None]:
        def hear(value: Any, now_ns: int) -> None:
            self.heard[topic].append(Heard(now_ns, value))
            if topic == "robot/joint_command" and value.source == "command_gate":
                self._latest = value
        return hear

    def working(self) -> bool:
        """Level SAFE and an arm in fast motion."""
        status, gate = self.last("safety/status"), self.last("safety/gate")
        return (status is not None and gate is not None and status.level == Level.SAFE and gate.state == "passing"
                and self._latest is not None and float(np.abs(self._latest.velocity).max()) > 0.2)

    def forget(self) -> None:
        """Keep of what was heard only the last half second."""
        since = self.now_ns() - NS // 2
        self.heard = defaultdict(list, {t: [h for h in hs if h.mono_ns >= since] for t, hs in self.heard.items()})
        self.codes, self._contacts = set(), set()


def play(house: House, row: Row, robot: RobotModel) -> Answer:
    """Bring the house to work, inject, watch, judge."""
    house.mover.willing, house.mover.change = True, None
    if row.graph != "deaf" and not house.wait(12.0, house.working):
        status, gate = house.last("safety/status"), house.last("safety/gate")
        return Answer(row.id, row.doc, "FAILED", f"nothing moved before the injection: {status.level.name} "
                      f"{status.cause}; gate {gate.state} {gate.reason}")
    house.forget()
    house.mover.willing = row.stops is False
    begin = house.now_ns()
    try:
        row.do(house)
        house.wait(max(row.watch - (house.now_ns() - begin) / NS, 0.3))
    except NotPossible as reason:
        return Answer(row.id, row.doc, "not run", str(reason))
    except Wrong as wrong:
        return Answer(row.id, row.doc, "FAILED", str(wrong))
    return judge(house, row, begin, robot)


def stop_and_reset(house: House) -> None:
    """Press, release and reset: everything must be armed as before (E5)."""
    end = house.now_ns() + round(0.3 * NS)
    for seq in range(1, 1000):
        if house.now_ns() >= end:
            break
        house.say("safety/estop", EStopState(house.ros_ns(), "panel", True, seq))
        house.wait(0.05)
    house.beats.take_over()
    house.wait(0.3)
    accepted, reason = house.reset()
    if not accepted:
        raise Wrong(f"the reset was refused: {reason}")
