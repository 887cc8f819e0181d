"""A running graph as the world in which a row of the fault matrix is played."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
from geometry_msgs.msg import Vector3
from humanoid_twin.srv import Push, ResetEStop, SetFault
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from humanoid_bench.faults.beats import Beats
from humanoid_bench.faults.mover import Mover
from humanoid_bench.faults.row import Heard, NotPossible, Row
from humanoid_cli.errors import BadInput
from humanoid_cli.supervisor import Event, Supervisor
from humanoid_cli.voice import Voice, voice
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import EStopState, JointCommand, JointSample, Level
from humanoid_ros import qos
from humanoid_ros.convert import to_msg
from humanoid_ros.realtime import for_a_while, prefer

HEARD = ("safety/status", "safety/gate", "robot/mode", "robot/joint_command", "ingest/sensor_health", "sim/truth",
         "safety/events", "vla/status")
TASK = "wave with your left hand"
BUSY = {
    "processor": "while True: pass",
    "memory": "while True: b = bytearray(200_000_000); b[::4096] = b'x' * len(b[::4096])",
    "disk": "import os, tempfile\nf = tempfile.TemporaryFile()\nwhile True: f.seek(0); f.write(b'x' * 4_000_000); "
            "f.flush(); os.fsync(f.fileno())",
}


class GraphWorld:
    """``supervisor``: the one that runs the graph, None when somebody else does. ``moves``: this process plays the
    policy; else a vla_policy of the graph is told to wave. One thread only, but for the mover's own."""

    def __init__(self, speaker: Voice, robot: RobotModel, supervisor: Supervisor | None, moves: bool) -> None:
        self.speaker, self.robot, self.supervisor, self.moves = speaker, robot, supervisor, moves
        self.heard: dict[str, list[Heard]] = speaker.heard  # type: ignore[assignment]
        self.codes: set[str] = set()
        self.events: list[Event] = []
        self.mover, self.beats = Mover(robot, first_epoch=secrets.randbelow(10**6)), Beats()
        self._strangers: list[tuple[str, Any]] = []
        self._pids: dict[str, list[int]] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join(timeout=2.0)

    # --- the policy, and stop sources that go on beating

    def _speak(self) -> None:
        due = time.monotonic_ns()
        while not self._end.is_set():
            due = max(due + NS // 100, time.monotonic_ns() - NS // 20)
            time.sleep(max(due - time.monotonic_ns(), 0) / NS)
            for state in self.beats.due(time.monotonic_ns(), self.ros_ns()):
                self.speaker.say("safety/estop", state)
            if self.moves:
                own = self._setpoint()
                for command in self.mover.commands(self.now_ns(), self.ros_ns(), self.last("safety/gate"), own):
                    self.speaker.say("vla/joint_command", command)

    def _setpoint(self) -> Any:
        heard = self.heard["robot/joint_command"]
        return next((h.value.position for h in reversed(heard[-50:]) if h.value.source == "command_gate"), None)

    # --- time

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def ros_ns(self) -> int:
        return self.speaker.now_ns()

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        end = time.monotonic() + seconds
        while True:
            if self.supervisor is not None:
                self.events += self.supervisor.poll()
            if until is not None and until():
                return True
            left = end - time.monotonic()
            if left <= 0.0:
                return False
            time.sleep(min(left, 0.01))

    # --- what can be done

    def fault(self, name: str, target: str, value: float, seconds: float) -> None:
        request = SetFault.Request(fault=name, target=target, value=float(value), duration=float(seconds))
        _served(self.speaker.call(SetFault, "sim/set_fault", request), "sim/set_fault")

    def push(self, link: str, impulse: tuple[float, float, float]) -> None:
        x, y, z = impulse
        request = Push.Request(link=link, impulse=Vector3(x=x, y=y, z=z), duration=0.1)
        _served(self.speaker.call(Push, "sim/push", request), "sim/push")

    def kill(self, node: str) -> None:
        self._signal(node, signal.SIGKILL)

    def freeze(self, node: str, seconds: float) -> None:
        pids = self._signal(node, signal.SIGSTOP)
        self.wait(seconds)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _signal(self, node: str, number: int) -> list[int]:
        pids = self._pids.get(node) or processes(self.supervisor).get(node, [])
        if not pids:
            raise NotPossible(f"no process '{node}' runs here")
        for pid in pids:
            os.kill(pid, number)
        if number == signal.SIGKILL:
            self._pids.pop(node, None)
        return pids

    def say(self, topic: str, value: Any, sender: str = "inject") -> None:
        if isinstance(value, EStopState):
            self.beats.said(value)
        if sender == "inject":
            self.speaker.say(topic, value)
        else:
            self.stranger(topic).publish(to_msg(value))

    def stranger(self, topic: str) -> Any:
        """A publisher with an identity of its own, until the row is over."""
        for known, publisher in self._strangers:
            if known == topic:
                return publisher
        row = qos.topic(topic)
        publisher = self.speaker.node.create_publisher(qos.message_type(row.type), topic, qos.profile(row))
        self._strangers.append((topic, publisher))
        self.wait(1.0, lambda: publisher.get_subscription_count() > 0)
        return publisher

    def as_policy(self, change: Callable[[JointCommand], list[JointCommand]] | None) -> None:
        if not self.moves:
            raise NotPossible("a vla_policy runs in this graph, and this row speaks in its place; start the graph "
                              "without it, or use --all")
        self.mover.change = change

    def reset(self, operator: str = "inject", nonce: int | None = None) -> tuple[bool, str]:
        request = ResetEStop.Request(nonce=secrets.randbits(62) if nonce is None else nonce, operator_name=operator)
        answer = self.speaker.call(ResetEStop, "safety/reset", request)
        return (False, "no monitor answers") if answer is None else (bool(answer.accepted), str(answer.reason))

    def listen(self, topic: str) -> None:
        if topic not in self.heard:
            self.speaker.listen(topic)

    def retreat(self) -> None:
        self.mover.change, self.mover.willing = None, True

    def second_clock(self, seconds: float) -> None:
        publisher = self.speaker.node.create_publisher(Clock, "/clock", 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = Clock()
            message.clock.sec = 5  # long before the robot's own
            publisher.publish(message)
            self.wait(0.02)
        self.speaker.node.destroy_publisher(publisher)

    def stress(self, seconds: float) -> None:
        """As many endless loops as processors, one that fills memory and one that writes and syncs a file."""
        programs = [*["processor"] * (os.cpu_count() or 1), "memory", "disk"]
        with tempfile.TemporaryDirectory() as folder:
            busy = [subprocess.Popen([sys.executable, "-c", BUSY[p]], cwd=folder, env={**os.environ, "TMPDIR": folder})
                    for p in programs]
            try:
                self.wait(seconds)
            finally:
                for process in busy:
                    process.kill()
                    process.wait()

    def storm(self, topic: str, rate: int, seconds: float) -> None:
        """The same old sample again and again."""
        publisher, n = self.stranger(topic), self.robot.n
        sample = to_msg(JointSample(self.ros_ns() - NS, self.robot.joint_names, self.robot.rest, np.zeros(n),
                                    np.zeros(n)))
        begin, count = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            while count < passed * rate:
                publisher.publish(sample)
                count += 1
            self.wait(0.001)

    def crash_loop(self, node: str, seconds: float) -> None:
        if self.supervisor is None:
            raise NotPossible("needs the process that restarts nodes; use --all")
        self.events.clear()

        def again() -> bool:
            assert self.supervisor is not None
            pid = self.supervisor.pids().get(node)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return any(e.kind == "gave_up" for e in self.events)

        self.wait(seconds, again)

    def latecomer(self) -> bool:
        """Whether a participant that comes now hears of a latched stop."""
        with voice("latecomer", listen=("safety/status", "safety/gate")) as late:
            def knows() -> bool:
                status, gate = late.last("safety/status"), late.last("safety/gate")
                return status is not None and status.estop_latched and gate is not None and gate.state == "latched"

            return self.wait(3.0, knows)

    # --- before and after a row

    def last(self, topic: str) -> Any:
        heard = self.heard.get(topic)
        return heard[-1].value if heard else None

    def working(self) -> bool:
        """Level SAFE, the gate passes, an arm is in motion."""
        status, gate, command = (self.last(t) for t in ("safety/status", "safety/gate", "robot/joint_command"))
        return (status is not None and gate is not None and command is not None and status.level == Level.SAFE
                and gate.state == "passing" and float(np.abs(command.velocity).max()) > 0.15)

    def bring_to_work(self, seconds: float) -> bool:
        """Until an arm moves at level SAFE; False when it does not come to that."""
        self.mover.willing, self.mover.change = True, None
        if self.moves:
            return self.wait(seconds, self.working)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.last("vla/status")
            if status is not None and status.state in ("idle", "done", "failed", "succeeded", ""):
                self.speaker.open("vla/instruction").publish(String(data=TASK))
            if self.wait(3.0, self.working):
                return True
        return False

    def prepare(self, row: Row) -> None:
        """Everything that would take time after the injection."""
        if row.id == "D13":
            self.listen("twin/state")
        self._pids = processes(self.supervisor)
        self.speaker.call(SetFault, "sim/set_fault", SetFault.Request(clear=True), 2.0)
        since = self.now_ns() - NS // 2
        for heard in self.heard.values():
            old = next((i for i, h in enumerate(heard) if h.mono_ns >= since), len(heard))
            del heard[:max(old - 1, 0)]
        self.codes = set()

    def recover(self) -> str:
        """End every fault, release every stop, reset what latched; why it did not come back, or ''."""
        self.mover.change, self.mover.willing = None, True
        for _, publisher in self._strangers:
            self.speaker.node.destroy_publisher(publisher)
        self._strangers.clear()
        self.beats.take_over()
        self.speaker.call(SetFault, "sim/set_fault", SetFault.Request(clear=True), 2.0)
        reason = ""
        for _ in range(10):
            self.wait(0.4)
            status = self.last("safety/status")
            if status is None or not status.estop_latched:
                return ""
            accepted, reason = self.reset()
            self.wait(0.8)
            if accepted:
                continue
        return f"the reset was refused: {reason}"


def _served(answer: object, name: str) -> None:
    if answer is None:
        raise NotPossible(f"nobody serves {name}: this fault needs a simulated robot")
    if not getattr(answer, "accepted", False):
        raise BadInput(f"{name} refused: {getattr(answer, 'reason', '')}")


def processes(supervisor: Supervisor | None) -> dict[str, list[int]]:
    """Process ids by node: the supervisor's, or what runs in this ROS_DOMAIN_ID on this machine."""
    if supervisor is not None:
        return {name: [pid] for name, pid in supervisor.pids().items()}
    domain, found = os.environ.get("ROS_DOMAIN_ID", "0"), dict[str, list[int]]()
    for process in psutil.process_iter():
        try:
            for part in process.cmdline()[:3]:
                folder, _, name = part.rpartition("/")
                if folder.endswith("/humanoid_twin") and process.environ().get("ROS_DOMAIN_ID", "0") == domain:
                    found.setdefault(name, []).append(process.pid)
        except psutil.Error:
            continue
    return found


@contextlib.contextmanager
def graph_world(robot: RobotModel, supervisor: Supervisor | None, moves: bool | None = None, namespace: str = "",
                simulated_time: bool = False) -> Iterator[GraphWorld]:
    """``moves`` None: this process plays the policy when nobody else does."""
    speaker = Voice("inject", namespace, HEARD, simulated_time)
    world: GraphWorld | None = None
    try:
        if moves is None:
            time.sleep(0.7)
            moves = speaker.node.count_publishers("vla/joint_command") == 0
        world = GraphWorld(speaker, robot, supervisor, moves)
        with for_a_while(prefer):  # it plays the policy and takes the time
            yield world
    finally:
        if world is not None:
            world.close()
        speaker.close()
