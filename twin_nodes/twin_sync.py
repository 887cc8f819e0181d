"""twin_sync: `ingest/robot_state` -> `twin/state`, the ghost robot, `twin/prediction` and the twin's services."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
from humanoid_twin.srv import Calibrate, Snapshot, WhatIf

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import ActionChunk, JointSample, RobotState, TwinState, TwinStatus
from humanoid_ros.convert import doubles, from_msg, stamp_from_msg, to_msg
from humanoid_ros.head import effort, stamp_ns
from humanoid_ros.node import ERROR, OK, WARN, HumanoidNode, run
from humanoid_ros.params import declare
from humanoid_ros.polled import Polled
from humanoid_ros.realtime import PREFERRED
from twin_nodes.core.prediction import as_prediction
from twin_nodes.core.preview import chunk_problem
from twin_nodes.core.shedding import LATE_NS, Shedding
from twin_nodes.core.start import start_of
from twin_nodes.core.twin import TwinCore
from twin_nodes.params import TwinParams

PERIOD_S, LOOK_NS = 0.01, 100 * MS
GHOST_EACH = 2
#: Commands that may wait while this node is busy. Each tells what the drives did; the table's newest one would not do.
COMMANDS = 16
LONGEST_HORIZON = 5.0
#: Of looks that are left out, the log says the first and each so-manyth.
SHED_EACH = 100
NO_STATE = "NO_STATE: no measurement came yet; is sensor_ingest running?"


class TwinSync(HumanoidNode):
    """Converts, asks the cores, publishes. Measurements, and looks ahead between them, have a thread of their own;
    chunks and services come in the executor's. Two that work at once would take the interpreter from one another."""

    def __init__(self) -> None:
        super().__init__("twin_sync")
        self.priority = PREFERRED
        self.params = declare(self, TwinParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        self.robot = load_robot(p.robot)
        self.core = TwinCore(self.robot, p.core())
        self.predictor, self.shedding = p.predictor(self.robot), Shedding(p.preview_share)
        self._lock = threading.Lock()
        self._looking = threading.Lock()  # one look at a time
        self._next_ns = self._look_ns = 0
        self._heard_ns = time.monotonic_ns()
        self._silence_ns = round(p.stale_ms * MS)
        self._resets = 0
        self.advertise("twin/state", "twin/joint_states", "twin/prediction", "twin/health")
        self._measured = Polled(self, "ingest/robot_state")
        self._commands = Polled(self, "robot/joint_command", depth=COMMANDS)
        self._health = Polled(self, "ingest/sensor_health")
        self._permits = Polled(self, "safety/permit")
        self.subscribe("vla/action_chunk", self._on_chunk)
        self.create_service(WhatIf, "twin/what_if", self._what_if)
        self.create_service(Snapshot, "twin/snapshot", self._snapshot)
        self.create_service(Calibrate, "twin/calibrate", self._calibrate)
        self.steady_timer(1.0, self._tell_health)
        self.own_loop(self._step)
        self.diagnostics(self._report)

    def _step(self) -> None:
        """Wait for a measurement, one period at most, and look whether the robot fell silent."""
        self._measured.wait(PERIOD_S)
        states = list(self._measured.read(self._due))
        with self._lock:
            for command in self._commands.read():
                self.core.on_command(command)
            for health in self._health.read():
                self.core.on_health(health)
        for state in states:
            self._on_state(state)
        mono_ns = time.monotonic_ns()
        if mono_ns - self._heard_ns > self._silence_ns and mono_ns >= self._next_ns:
            self._next_ns = mono_ns + round(PERIOD_S * NS)
            self._on_silence(mono_ns)
        # Right after a measurement there is most time before the next one.
        fits = bool(states) or mono_ns - self._heard_ns > LATE_NS
        if fits and mono_ns >= self._look_ns:
            self._look_ns = max(self._look_ns + LOOK_NS, mono_ns)
            if not self._looking.acquire(blocking=False):
                self._left_out("BUSY", "twin/what_if is looking")
                return
            try:
                self._predict()
            finally:
                self._looking.release()

    def _left_out(self, code: str = "", detail: str = "") -> None:
        """A look that is not taken is counted; the log says the first and each so-manyth."""
        left_out = self.shedding.left_out
        if code:
            left_out.refuse(code, detail)
        if left_out.total % SHED_EACH == 1:
            self.get_logger().warning(f"looks ahead left out: {left_out.total} so far, {left_out.last}")

    def _due(self, data: bytes) -> bool:
        """Whether the core would use it; decided by the stamp before anything else is read."""
        at_ns = stamp_ns(data)
        if self.core.due(at_ns):
            return True
        self.core.passed(at_ns, effort(data))
        return False

    def _on_state(self, state: RobotState) -> None:
        with self._lock:
            twin = self.core.on_state(state, self.now_ns())
            if self.core.latest is state:
                self._heard_ns = time.monotonic_ns()
            if twin is None:
                return
            if self.core.resets.total != self._resets:
                self._resets = self.core.resets.total
                self.predictor.clear()
                self.get_logger().warning(self.core.resets.last)
            self.predictor.on_estimate(twin.stamp_ns, twin.position)
            self._publish(twin)
            self.core.learn()

    def _publish(self, twin: TwinState) -> None:
        self.send("twin/state", twin)
        if twin.revision % GHOST_EACH == 0 and twin.status != TwinStatus.WAITING:
            ghost = JointSample(twin.stamp_ns, self.robot.joint_names, twin.position, twin.velocity)
            self.send("twin/joint_states", ghost)

    def _on_silence(self, mono_ns: int) -> None:
        """100 times a second on the monotonic clock: silence is said, never guessed."""
        with self._lock:
            twin = self.core.on_silence(self.now_ns(), mono_ns - self._heard_ns)
            if twin is not None:
                self._publish(twin)

    def _on_chunk(self, chunk: ActionChunk) -> None:
        with self._lock:
            code = self.predictor.on_chunk(chunk)
        if code:
            self.get_logger().warning(f"vla/action_chunk refused: {self.predictor.refusals.last}")

    def _predict(self) -> None:
        """Ten times a second, after a measurement; the first thing that is left out when the machine is loaded."""
        begun_ns, spent_ns = time.monotonic_ns(), time.thread_time_ns()
        for permit in self._permits.read():
            self.predictor.on_permit(permit.scale)
        with self._lock:
            start, twin = start_of(self.core), self.core.state
            if start is None or twin is None:
                return
            if twin.status != TwinStatus.OK:
                self._left_out("STALE", "the newest measurement is too old to look ahead from")
                return
            if self.shedding.ask(begun_ns, begun_ns - self._heard_ns):
                self._left_out()
                return
            chunk = self.predictor.pending(start.stamp_ns)
        look = self.predictor.look(start, chunk)
        with self._lock:
            prediction = self.predictor.expect(look, chunk, start)
        self.send("twin/prediction", prediction)
        self.shedding.ran(begun_ns, time.monotonic_ns(), time.thread_time_ns() - spent_ns)

    def _what_if(self, request: WhatIf.Request, response: WhatIf.Response) -> WhatIf.Response:
        """A chunk without a stamp is taken to start now."""
        chunk: ActionChunk = from_msg(request.chunk)
        horizon = request.horizon if request.horizon > 0.0 else self.predictor.horizon
        code, detail = chunk_problem(self.robot, chunk)
        if not horizon <= LONGEST_HORIZON:
            code, detail = "OUT_OF_RANGE", f"horizon = {horizon} s, at most {LONGEST_HORIZON} s"
        with self._lock:
            start, twin = start_of(self.core), self.core.state
        if not code and start is not None and twin is not None and twin.status != TwinStatus.OK:
            code, detail = "STALE", "the newest measurement is too old to look ahead from"
        if not code and start is not None:
            chunk = chunk if chunk.stamp_ns else replace(chunk, stamp_ns=start.stamp_ns)
            with self._looking:
                look = self.predictor.look(start, chunk, horizon)
            response.prediction = to_msg(as_prediction(look, start.stamp_ns, chunk.seq, horizon))
            response.time, response.trajectory = doubles(look.time), doubles(look.trajectory)
        response.ok = not code and start is not None
        response.reason = f"{code}: {detail}" if code else "" if response.ok else NO_STATE
        return response

    def _snapshot(self, request: Snapshot.Request, response: Snapshot.Response) -> Snapshot.Response:
        with self._lock:
            twin, response.reason = self.core.snapshot(stamp_from_msg(request.stamp))
        response.ok = twin is not None
        if twin is not None:
            response.state = to_msg(twin)
        return response

    def _calibrate(self, request: Calibrate.Request, response: Calibrate.Response) -> Calibrate.Response:
        with self._lock:
            answer = self.core.calibrate(request.what, request.apply, self.now_ns())
        if answer.ok and request.apply:
            self.get_logger().info(f"model revision {answer.revision}: {request.what}; {answer.report}")
        response.ok, response.reason, response.report = answer.ok, answer.reason, answer.report
        response.model_revision = answer.revision
        return response

    def _tell_health(self) -> None:
        with self._lock:
            health = self.core.condition(self.now_ns())
        self.send("twin/health", health)

    def _report(self) -> tuple[int, str, dict[str, object]]:
        with self._lock:
            twin, q, refused = self.core.state, self.core.quality, dict(self.core.refusals.items())
        values: dict[str, object] = {
            "quality": f"{q.score:.2f}", "age part": f"{q.age:.2f}", "error part": f"{q.error:.2f}",
            "consistency part": f"{q.consistency:.2f}", "coverage part": f"{q.coverage:.2f}", "refused": refused,
            "commands refused": dict(self.core.command_refusals.items()),
            "chunks refused": dict(self.predictor.refusals.items()), "clock resets": self.core.resets.total,
            **self.shedding.report()}
        if twin is None:
            return ERROR, NO_STATE, values
        values |= {"latency ms": f"{twin.latency * 1e3:.2f}", "support margin m": f"{twin.support_margin:.3f}",
                   "position stddev rad": f"{float(np.max(twin.position_stddev)):.2g}"}
        values |= {f"delay of {topic} ms": f"{delay * 1e3:.1f}" for topic, delay, _ in twin.source_delay}
        if twin.status != TwinStatus.OK:
            silent = (time.monotonic_ns() - self._heard_ns) / NS
            return ERROR, f"STALE: no robot state for {silent:.2f} s", values
        return (WARN, ", ".join(twin.anomalies), values) if twin.anomalies else (OK, "in step", values)


def main() -> int:
    return run(TwinSync)
