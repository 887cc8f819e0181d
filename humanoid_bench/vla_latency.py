"""How long a look takes: from an observation to its chunk, and to the first set-point that knows of it; CPU, memory.

Each policy runs in a process of its own with the parts that the node has: worker thread, session and execution core,
and a loop at 100 Hz by the wall clock. The camera's picture is drawn once and shown again with a new stamp; the robot
stands. Test servers answer at once, so what is measured with them is client, wire and core; a policy that thinks in
the process is measured with its thinking.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import GateStatus, ImageSample, Level, Permit, RobotState
from vla_nodes.backends.base import Backend
from vla_nodes.core.contract import ContractError
from vla_nodes.core.gather import Gather, GatherParams
from vla_nodes.core.policy import Observation
from vla_nodes.core.postures import PostureError
from vla_nodes.core.session import Answer, Session, SessionParams
from vla_nodes.core.steps import Steps

TICK = 10 * MS
#: A second in which a policy may load and warm up is not measured, s.
WARM_UP = 1.0
TASK = "touch the red cube with your left hand"


@dataclass(frozen=True)
class Latencies:
    """ms from the observation, (n,) each; ``thinking``: inside the policy; ``cores`` of processor; ``memory`` MiB."""

    to_chunk: Array
    to_command: Array
    thinking: Array
    cores: float
    memory: float


class Still:
    """What a policy sees: one drawn picture and a robot that stands, as if they had just come in."""

    def __init__(self, robot: RobotModel, params: GatherParams) -> None:
        from sim_nodes.core.camera import Camera
        from sim_nodes.core.plant import Plant, PlantParams

        plant, spec = Plant(robot, PlantParams(seed=7)), robot.camera
        if spec is None:
            raise BadInput(f"robot '{robot.name}' has no camera")
        camera = Camera(plant.model, spec.name, spec.width, spec.height, spec.near, spec.far)
        if not camera.on:
            raise BadInput(camera.why)
        self._picture = camera.picture(plant.data)
        camera.close()
        n, z = robot.n, np.zeros(3)
        self._state = RobotState(0, 1, plant.joints()[0], np.zeros(n), np.zeros(n), np.full(n, 35.0),
                                 np.array([1.0, 0, 0, 0]), z, z, np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip
        self.gather = Gather(robot.n, params)
        self.gather.set_intrinsics(spec.k)

    def take(self, now_ns: int) -> None:
        """A picture, its depth and the joints of this instant have come in."""
        self.gather.add_image(ImageSample(now_ns, "rgb8", self._picture.rgb))
        self.gather.add_depth(ImageSample(now_ns, "32FC1", self._picture.depth))
        self.gather.add_state(replace(self._state, stamp_ns=now_ns))


class _Loop:
    """The node without its middleware."""

    def __init__(self, robot: RobotModel, backend: Backend) -> None:
        from vla_nodes.worker import Worker

        self.backend = backend
        self.session = Steps(Session(robot, backend.policy_id, backend.period, SessionParams(timeout=600.0)))
        self.lock = threading.Lock()
        self.pending: list[int] = []
        self.rows: list[tuple[float, float]] = []
        self.thinking: list[float] = []
        eyes = Still(robot, backend.gather(GatherParams()))
        self.worker = Worker(backend, eyes, time.monotonic_ns, time.monotonic_ns, self._deliver,  # type: ignore[arg-type]
                             self._log)
        self.errors: list[str] = []

    def _log(self, text: str) -> None:
        self.errors.append(text)

    def _deliver(self, answer: Answer) -> None:
        with self.lock:
            chunk = self.session.answer(answer, time.monotonic_ns())
            if chunk is not None:
                now = time.monotonic_ns()
                self.pending.append(chunk.stamp_ns)
                self.rows.append(((now - chunk.stamp_ns) / MS, float("nan")))
                self.thinking.append((answer.end_ns - answer.begin_ns) / MS)

    def run(self, count: int, seconds: float) -> None:
        """Until ``count`` chunks came, or for ``seconds``; asked anew whenever the task is over."""
        due = time.monotonic_ns()
        end = due + round(seconds * NS)
        tick = 0
        while len(self.rows) < count and due < end and not self.errors:
            due += TICK
            time.sleep(max(due - time.monotonic_ns(), 0) / NS)
            tick += 1
            with self.lock:
                self._tick(tick)

    def _tick(self, tick: int) -> None:
        now, session = time.monotonic_ns(), self.session
        session.hear_permit(Permit(now, tick, Level.SAFE, 1.0, 0.03, True, False, 0), now)
        session.hear_gate(GateStatus(now, "passing", "", 0, 0, (), tick, 0, 0.0, 0.0))
        if not session.busy:
            session.instruct(TASK, now)
        command = session.tick(now, now)
        if command is not None and self.pending:
            done = time.monotonic_ns()
            # the newest chunk's row gets its second number; a chunk that was replaced before a tick has none
            self.rows[-1] = self.rows[-1][0], (done - self.pending[-1]) / MS
            self.pending.clear()
        look = session.look(now)
        if look is not None:
            self.worker.offer(look)


def measure_one(policy: str, server: str, count: int, seconds: float) -> Latencies:
    """In a process of its own. BadInput when the policy cannot be measured."""
    import psutil

    from humanoid_bench.eval_pool import Candidate, EvalError, make_policy

    robot = load_robot("g1")
    try:
        backend = make_policy(Candidate(policy, server=server), robot)
    except (EvalError, ContractError, PostureError) as error:
        raise BadInput(str(error)) from None  # one that can be sent from process to process
    loop = _Loop(robot, backend)
    try:
        loop.run(10_000, WARM_UP)
        loop.rows.clear()
        loop.thinking.clear()
        began, used = time.monotonic(), time.process_time()
        loop.run(count, seconds)
        cores = (time.process_time() - used) / max(time.monotonic() - began, 1e-9)
    finally:
        loop.worker.close()
    if loop.errors or not loop.rows:
        status = loop.session.status(time.monotonic_ns())
        why = loop.errors[-1].splitlines()[-1] if loop.errors else f"{status.reason_code}: {status.detail}"
        raise BadInput(f"{policy}: no chunk came: {why}")
    rows = np.array(loop.rows)
    memory = psutil.Process().memory_info().rss / 2**20
    return Latencies(rows[:, 0], rows[np.isfinite(rows[:, 1]), 1], np.array(loop.thinking), cores, memory)


def measure(policy: str, server: str = "", count: int = 100, seconds: float = 60.0) -> Latencies:
    """The same in a fresh process, so that memory and processor are this policy's alone."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        try:
            return pool.submit(measure_one, policy, server, count, seconds).result()
        except BrokenProcessPool:
            raise BadInput(f"{policy}: the process that measured it ended") from None


def figures(name: str, found: Latencies) -> dict[str, Figure]:
    """``name`` stands at the end of each figure's name."""
    out: dict[str, Figure] = {}
    for what, values in (("obs_to_chunk", found.to_chunk), ("obs_to_command", found.to_command)):
        for p in (50, 95, 99):
            value = round(float(np.percentile(values, p)), 2) if len(values) else float("nan")
            out[f"{what}_p{p}_ms_{name}"] = Figure(value, "ms", None, len(values))
    out[f"cpu_{name}"] = Figure(round(found.cores, 3), "cores", None, len(found.to_chunk))
    out[f"memory_{name}"] = Figure(round(found.memory, 1), "MiB", None, 1)
    return out


def in_the_graph(policy: str, tasks: int = 3, seconds: float = 25.0) -> dict[str, Figure]:
    """The same from the messages of the running graph: every node, real time, this machine's cores."""
    from humanoid_cli.demo import DemoOptions, run_task
    from humanoid_cli.eval_graph import DEFAULT

    thinking, capture, cores = [], [], []
    for k in range(tasks):
        options = DemoOptions(DEFAULT[k % len(DEFAULT)][0], seed=7 + k, seconds=seconds, policy=policy,
                              pictures=False, record=False)  # fmt: skip
        result, _, _ = run_task(options, lambda *_: None, lambda *_: None, lambda: False)
        if result.record.not_ready:
            raise BadInput(f"the graph did not become ready: {', '.join(result.record.not_ready)}")
        for _, chunk in result.record.seen.get("vla/action_chunk", []):
            thinking.append((chunk.inference_end_ns - chunk.inference_start_ns) / MS)
            capture.append((chunk.inference_end_ns - chunk.stamp_ns) / MS)
        cores.append(result.record.cpu.get("vla_policy", float("nan")))
    if not thinking:
        raise BadInput(f"{policy}: no chunk came in {tasks} tasks of the graph")
    out = {}
    for what, values in (("obs_to_chunk", thinking), ("capture_to_chunk", capture)):
        for p in (50, 95, 99):
            aim = 60.0 if (what, p) == ("obs_to_chunk", 95) else None
            out[f"{what}_p{p}_ms"] = Figure(round(float(np.percentile(values, p)), 2), "ms", aim, len(values))
    out["graph_cpu"] = Figure(round(float(np.nanmean(cores)), 3), "cores", None, tasks)
    out["graph_processors"] = Figure(len(os.sched_getaffinity(0)), "cores", None, 1)
    return out


def standing(robot: RobotModel) -> Observation:
    """One observation of now, for a single question."""
    still = Still(robot, GatherParams(depth=False))
    now = time.monotonic_ns()
    still.take(now)
    seen = still.gather.observe(now, np.zeros(0))
    assert isinstance(seen, Observation)
    return seen
