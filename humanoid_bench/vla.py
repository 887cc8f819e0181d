"""`humanoid-twin bench vla`: latency of a look, cost of the client over the bare server, outages, seams of chunks.

Seams: one recorded sequence of chunks (a seeded reference motion; every chunk is off by a constant of its own, normal
with 0.05 rad a joint, as predictions of a policy disagree) arrives with random delays of 30 to 1000 ms, one in flight.
Three followers get the same chunks at the same times: naive switching (the newest chunk, sampled by time), linear
blending (the same, faded over 150 ms), and the execution core. Each starts at the posture of the reference.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import ActionChunk, RobotState
from vla_nodes.backends.make import under_contract
from vla_nodes.backends.remote import Remote
from vla_nodes.backends.wire import Request
from vla_nodes.core.contract import Loaded, contract_from_data, load_contract
from vla_nodes.core.execution import Execution
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.motion import Plan
from vla_nodes.core.policy import Observation

T0, TICK = 1000 * NS, 10 * MS
STEP, ROWS = 0.02, 100
DISAGREEMENT, BLEND = 0.05, 0.15
DELAY = 0.03, 1.0
SCHEME = {"openpi": "ws://127.0.0.1:{}", "gr00t": "tcp://127.0.0.1:{}", "openvla": "http://127.0.0.1:{}",
          "lerobot": "127.0.0.1:{}"}  # fmt: skip


# --- the client

def overhead_contract(robot: RobotModel) -> Loaded:
    """Two pictures of 224 x 224 and the state of the upper body, openpi."""
    names = [robot.joint_names[i] for i in robot.groups["upper_body"]]
    joints = {name: {"index": i} for i, name in enumerate(names)}
    pictures = [{"key": f"observation/{name}", "size": [224, 224]} for name in ("image", "wrist_image")]
    data = {"robot": robot.name, "backend": "openpi", "step": 0.02, "horizon": 50, "pictures": pictures,
            "state": [{"key": "observation/state", "size": len(names), "joints": joints}],
            "actions": [{"key": "actions", "size": len(names), "joints": joints}]}  # fmt: skip
    return contract_from_data(data, Path("bench_vla.yaml"), robot)


def _observation(robot: RobotModel, seed: int) -> Observation:
    rng = np.random.default_rng(seed)
    n, z = robot.n, np.zeros(3)
    state = RobotState(T0, 1, np.array(robot.rest), np.zeros(n), np.zeros(n), np.zeros(n), np.array([1.0, 0, 0, 0]), z,
                       z, np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip
    image = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    return Observation(T0, T0, image, np.zeros((0, 0), np.float32), np.full((3, 3), np.nan), state, state, image_ns=T0)


def client_overhead(server: str, count: int = 500, warm_up: int = 50) -> dict[str, Array]:
    """Milliseconds of ``count`` questions: ``overhead`` is the round trip less the server's own ``infer_ms``,
    ``observe`` the same with cutting the pictures and checking the answer."""
    from vla_nodes.backends.openpi import OpenpiWire

    robot = load_robot("g1")
    loaded = overhead_contract(robot)
    backend = Remote(loaded, robot, lambda: OpenpiWire(loaded, server), server)
    try:
        backend.start("touch the red cube")
        seen = _observation(robot, 0)
        inputs = backend.mapping.inputs(seen)
        assert isinstance(inputs, dict)
        end = time.monotonic() + 20.0
        while not backend.link.ready:
            if time.monotonic() > end:
                raise BadInput(f"no openpi server at {server} within 20 s")
            time.sleep(0.01)
        overhead, observe = [], []
        for k in range(warm_up + count):
            begin = time.perf_counter()
            reply = backend.link.ask(Request(inputs, "touch the red cube"), 5.0)
            took = 1e3 * (time.perf_counter() - begin)
            if not isinstance(reply, dict):
                raise BadInput(f"{server}: {reply}")
            inference = float(reply["server_timing"]["infer_ms"])
            begin = time.perf_counter()
            backend.mapping.inputs(seen)
            backend.mapping.positions(reply, seen)
            if k >= warm_up:
                overhead.append(took - inference)
                observe.append(took - inference + 1e3 * (time.perf_counter() - begin))
    finally:
        backend.close()
    return {"overhead": np.array(overhead), "observe": np.array(observe)}


# --- outages

def reasons(protocol: str, count: int, deadline: float = 0.3) -> Array:
    """ms from the deadline of a question to a server that hangs until the reason is there, (count,)."""
    robot = load_robot("g1")
    shipped = load_contract(f"g1_{protocol}", robot)
    terms = shipped.terms.model_copy(update={"deadline": deadline})
    server = TestServer(protocol, terms.horizon)
    backend = under_contract(replace(shipped, terms=terms), robot, server.address)
    out = []
    try:
        backend.start("touch the red cube")
        seen = _observation(robot, 0)
        for _ in range(2 * count):
            server.mode("ok")
            end = time.monotonic() + 20.0
            while isinstance(got := backend.observe(seen), Refusal):
                if time.monotonic() > end:
                    raise BadInput(f"the test server for {protocol}: {got.code}: {got.detail}")
                time.sleep(0.01)
            server.mode("hang")
            begin = time.monotonic()
            got = backend.observe(seen)
            if isinstance(got, Refusal) and got.code == "NO_REPLY":
                out.append(1e3 * (time.monotonic() - begin - deadline))
            if len(out) == count:
                break
    finally:
        backend.close()
        server.close()
    return np.array(out)


# --- seams

def recorded(robot: RobotModel, seed: int, seconds: float) -> list[tuple[int, ActionChunk]]:
    """(arrival ns, chunk) of a policy with one inference in flight; the same for the same seed."""
    rng = np.random.default_rng(seed)
    upper = list(robot.groups["upper_body"])
    names = tuple(robot.joint_names[i] for i in upper)
    low, high = robot.lower[upper], robot.upper[upper]
    plan, end = Plan(robot, robot.rest, T0), T0
    while end < T0 + round((seconds + 4.0) * NS):
        goal = np.array(robot.rest)
        goal[upper] = np.clip(robot.rest[upper] + rng.uniform(-0.5, 0.5, len(upper)), low + 0.25, high - 0.25)
        end = plan.then(goal, end)
    out, now = [], T0
    while now < T0 + round(seconds * NS):
        rows = plan.rows(now, STEP, ROWS)[:, upper] + rng.normal(0.0, DISAGREEMENT, len(upper))
        chunk = ActionChunk(now, len(out) + 1, 1, "recorded", "", names, STEP, np.clip(rows, low, high), 0.0)
        now += round(rng.uniform(*DELAY) * NS / TICK) * TICK
        out.append((now, chunk))
    return out


def _at(chunk: ActionChunk, now_ns: int) -> Array:
    x = np.clip((now_ns - chunk.stamp_ns) / NS / STEP - 1.0, 0.0, ROWS - 1.0)
    i = min(int(x), ROWS - 2)
    sample: Array = chunk.positions[i] + (x - i) * (chunk.positions[i + 1] - chunk.positions[i])
    return sample


def naive(chunks: list[tuple[int, ActionChunk]], times: list[int], blend: float = 0.0) -> Array:
    """The newest chunk by time; with ``blend`` s a linear fade from what was commanded by the one before."""
    out, k = [], -1
    for now in times:
        while k + 1 < len(chunks) and chunks[k + 1][0] <= now:
            k += 1
        new = _at(chunks[k][1], now)
        share = 1.0 if not blend or k == 0 else min((now - chunks[k][0]) / NS / blend, 1.0)
        out.append(new if share >= 1.0 else (1.0 - share) * _at(chunks[k - 1][1], now) + share * new)
    return np.array(out)


def executed(robot: RobotModel, chunks: list[tuple[int, ActionChunk]], times: list[int]) -> Array:
    """The execution core, from the posture that the first chunk begins with."""
    execution = Execution(robot)
    whole = np.array(robot.rest)
    whole[list(robot.groups["upper_body"])] = _at(chunks[0][1], times[0])
    execution.begin(1, whole, times[0] - TICK)
    out, k = [], 0
    for now in times:
        while k < len(chunks) and chunks[k][0] <= now:
            execution.accept(chunks[k][1], now)
            k += 1
        command = execution.tick(now)
        assert command is not None, execution.reason
        out.append(command.position)
    return np.array(out)


def seams(seeds: int = 10, seconds: float = 60.0, progress: Callable[[float], None] = lambda share: None
          ) -> dict[str, Array]:
    """By follower (naive, linear, core): [seeds, 2] largest step at 100 Hz (rad) and RMS jerk (rad/s^3)."""
    robot = load_robot("g1")
    out: dict[str, list[tuple[float, float]]] = {"naive": [], "linear": [], "core": []}
    for seed in range(seeds):
        chunks = recorded(robot, seed, seconds)
        times = list(range(chunks[0][0], chunks[-1][0], TICK))
        for name, q in (("naive", naive(chunks, times)), ("linear", naive(chunks, times, BLEND)),
                        ("core", executed(robot, chunks, times))):  # fmt: skip
            jerk = np.diff(q, n=3, axis=0) / 0.01**3
            out[name].append((float(np.max(np.abs(np.diff(q, axis=0)))), float(np.sqrt(np.mean(jerk**2)))))
        progress((seed + 1) / seeds)
    return {name: np.array(rows) for name, rows in out.items()}


# --- the verb

class TestServer:
    """A test server of the source tree, as a process."""

    __test__ = False

    def __init__(self, protocol: str = "openpi", horizon: int = 50) -> None:
        tests = Path(__file__).resolve().parents[1] / "test"
        if not (tests / "peers" / f"{protocol}.py").is_file():
            raise BadInput("the test servers (test/peers) are not here; name a running openpi server with --server")
        command = [sys.executable, "-m", f"peers.{protocol}", "--horizon", str(horizon)]
        self.process = subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = SCHEME[protocol].format(self.process.stdout.readline().split()[1])

    def mode(self, name: str) -> None:
        """Turn the fault switch; returns once it counts."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"mode {name}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


GROUPS = ("overhead", "outages", "seams", "latency", "cycles", "graph")
#: What is measured unless somebody says otherwise; the others take long, or need the whole graph.
USUAL = GROUPS[:4]


@dataclass(frozen=True)
class Options:
    """``server``: a running openpi server instead of the test server; ``policy`` for latency and graph, besides the
    test servers' contracts and the classical policy."""

    only: tuple[str, ...] = USUAL
    server: str = ""
    count: int = 500
    seeds: int = 10
    seconds: float = 60.0
    outages: int = 10
    looks: int = 100
    cycles: int = 200
    protocols: tuple[str, ...] = tuple(SCHEME)
    policy: str = ""


def measure(options: Options, progress: Callable[[str], None] = lambda text: None) -> dict[str, Figure]:
    """All figures of the groups asked for."""
    found: dict[str, Figure] = {}
    for name in options.only:
        progress(name)
        found |= MEASURES[name](options)
    return found


def _overhead(options: Options) -> dict[str, Figure]:
    own = None if options.server else TestServer()
    try:
        cost = client_overhead(options.server or (own.address if own else ""), options.count)
    finally:
        if own is not None:
            own.close()
    figures, n = {}, options.count
    for name, aim in (("p50", None), ("p95", 1.5), ("p99", None)):
        value = float(np.percentile(cost["overhead"], float(name[1:])))
        figures[f"client_overhead_{name}_ms"] = Figure(round(value, 3), "ms", aim, n)
    figures["client_observe_p95_ms"] = Figure(round(float(np.percentile(cost["observe"], 95)), 3), "ms", None, n)
    return figures


def _outages(options: Options) -> dict[str, Figure]:
    figures = {}
    for protocol in options.protocols:
        late = reasons(protocol, options.outages)
        worst = round(float(np.max(late)), 1)
        figures[f"reason_after_deadline_max_ms_{protocol}"] = Figure(worst, "ms", 100.0, len(late))
    return figures


def _seams(options: Options) -> dict[str, Figure]:
    figures, seeds = {}, options.seeds
    ran = seams(seeds, options.seconds)
    core, plain, linear = ran["core"], ran["naive"], ran["linear"]
    for i, (name, unit) in enumerate((("seam_step", "rad"), ("jerk", "rad/s^3"))):
        figures[f"{name}_ratio"] = Figure(round(float(np.max(core[:, i] / plain[:, i])), 5), "", 0.3, seeds)
        figures[f"{name}_ratio_linear"] = Figure(round(float(np.max(core[:, i] / linear[:, i])), 5), "", None, seeds)
        for who, rows in ran.items():
            figures[f"{name}_{who}"] = Figure(round(float(np.max(rows[:, i])), 4), unit, None, seeds)
    return figures


def _latency(options: Options) -> dict[str, Figure]:
    from humanoid_bench import vla_latency

    figures = vla_latency.figures("classical", vla_latency.measure("classical", count=options.looks))
    for protocol in options.protocols:
        horizon = load_contract(f"g1_{protocol}", load_robot("g1")).terms.horizon
        server = TestServer(protocol, horizon)
        try:
            found = vla_latency.measure(f"g1_{protocol}", server.address, options.looks)
        finally:
            server.close()
        figures |= vla_latency.figures(protocol, found)
    if options.policy:
        found = vla_latency.measure(options.policy, count=options.looks)
        figures |= vla_latency.figures(Path(options.policy).stem, found)
    return figures


def _cycles(options: Options) -> dict[str, Figure]:
    from humanoid_bench import vla_cycles

    figures: dict[str, Figure] = {}
    for protocol in options.protocols:
        figures |= vla_cycles.figures(protocol, vla_cycles.run(protocol, options.cycles))
    return figures


def _graph(options: Options) -> dict[str, Figure]:
    from humanoid_bench.vla_latency import in_the_graph

    return in_the_graph(options.policy or "classical")


MEASURES: dict[str, Callable[[Options], dict[str, Figure]]] = {
    "overhead": _overhead, "outages": _outages, "seams": _seams, "latency": _latency, "cycles": _cycles,
    "graph": _graph}  # fmt: skip


def run(options: Options, json: Path | None) -> int:
    from rich.console import Console
    from rich.table import Table

    from humanoid_cli.figures import check_writable, write_figures

    check_writable(json)
    console = Console(highlight=False)
    with console.status("") as status:
        figures = measure(options, lambda name: status.update(name))
    table = Table("figure", "value", "aim", "n")
    for name, f in figures.items():
        table.add_row(name, f"{f.value} {f.unit}".strip(), "" if f.aim is None else f"<= {f.aim}", str(f.n))
    console.print(table)
    write_figures(json, figures)
    return 0
