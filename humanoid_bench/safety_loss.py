"""dropout_*, monitor_loss_* and what every killed or hung node leads to, on the graph of the simulated robot."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

from humanoid_bench.faults import ROWS
from humanoid_bench.faults.judge import Answer
from humanoid_bench.faults.row import Heard
from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_cli.figures import Figure
from humanoid_cli.inject_all import play
from humanoid_cli.inject_graphs import make_graph
from humanoid_cli.inject_world import GraphWorld, graph_world
from humanoid_cli.session import Cpu, own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_core.graph import Respawn
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS

START, AGAIN = 90.0, 15.0
NODES = ("monitor", "gate", "ingest", "twin")
AT_ONCE = Respawn(delay=0.3, longest=0.3, limit=10_000)
#: A command that came here so long after its stamp says that this process, or its link, was held up.
EARS_NS = 50 * MS
#: Commands in a row that may be missed here.
UNHEARD = 4
#: What falls silent, by the kind of dropout.
SILENT = {"joints": "joint_states", "imus": "imu/pelvis"}
LOSS_AIM, DROPOUT_AIM = 50.0, 40.0
NOTE = ("the graph of the simulated robot without camera, an arm moved by the measuring process; from the signal "
        "(SIGKILL, SIGSTOP for 0.2 s) to the arrival of the gate's word that it brakes or its first command that "
        "belongs to no motion, or, as for the gate itself, of the robot's own hold in sim/truth, which tells a "
        "fallback at once; for the twin to its name in safety/status. A trial in which commands did not come "
        "here, or more than 50 ms after their stamps, is made once more")
DROPOUT_NOTE = ("the same graph; from the arrival of the last sample of the joints, or of the pelvis IMU when both "
                "IMUs stop, to the arrival of the gate's word that it brakes; imu_backup: from the request to the "
                "simulator to the backup's name in a report")
CPU_NOTE = "processor time of each process over {seconds:g} s of an arm in motion, in cores"


@contextmanager
def _graph(kind: str = "arms") -> Iterator[GraphWorld]:
    """At work. Here nodes are killed again and again, so each comes back at once, the monitor too."""
    graph = make_graph(kind)
    graph = replace(graph, nodes=tuple(
        replace(n, respawn=AT_ONCE) if n.respawn is not None or n.name == "safety_monitor" else n for n in graph.nodes))
    environment = {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
    with (Supervisor(graph, lambda node, line: None, environment=environment) as supervisor,
          graph_world(load_robot("g1"), supervisor, moves=True) as world):
        if not world.bring_to_work(START):
            raise RuntimeError(f"the graph did not come to work: {world.last('safety/status')}")
        yield world


def _again(world: GraphWorld, id: str) -> Answer | None:
    """Play a row, and bring the graph back; None when it did not come to work, or nobody here heard in time."""
    for _ in range(2):
        if not world.bring_to_work(AGAIN):
            return None
        begin_ns = world.now_ns()
        answer = play(world, ROWS[id], world.robot)
        world.recover()
        if heard_in_time(world.heard["robot/joint_command"], begin_ns, world.ros_ns() - world.now_ns()):
            return answer
    return None


def heard_in_time(commands: Sequence[Heard], begin_ns: int, offset_ns: int) -> bool:
    """Whether the commands since ``begin_ns`` came here, and soon after their stamps: what this process heard late or
    not at all, it cannot time. The gate numbers what it publishes; the last command before the beginning tells whether
    the first ones after it are missing. ``offset_ns``: ROS time minus monotonic time."""
    since = next((i for i, h in enumerate(commands) if h.mono_ns >= begin_ns), len(commands))
    commands = commands[max(since - 1, 0):]
    late = any(h.mono_ns + offset_ns - h.value.stamp_ns > EARS_NS for h in commands)
    return not late and all(b.value.seq - a.value.seq <= UNHEARD for a, b in pairwise(commands))


def losses(options: Options, progress: Progress) -> Measured:
    n_stop, n_kill, n_gate = (2, 1, 1) if options.quick else (20, 15, 4)
    if options.samples:
        n_stop = n_kill = options.samples
        n_gate = max(options.samples // 4, 1)
    trials = [(node, "stop") for node in NODES for _ in range(n_stop)]
    trials += [(node, "kill") for node in NODES for _ in range(n_kill) if node != "gate"] + [("gate", "kill")] * n_gate
    left, times, failed = list(trials), dict[str, list[float]](), list[str]()
    with own_domain():
        while left:
            with _graph() as world:
                fresh = True
                while left:
                    node, how = left[0]
                    answer = _again(world, f"P{1 if how == 'kill' else 2}-{node}")
                    if answer is None and not fresh:
                        break  # with a fresh graph once more
                    left.pop(0)
                    fresh = False
                    if answer is None or answer.safe_ms is None or answer.verdict == "FAILED":
                        failed.append(f"{node}_{how}: {answer.why if answer else 'the graph did not come back'}")
                    if answer is not None and answer.safe_ms is not None:
                        times.setdefault(f"{node}_{how}", []).append(answer.safe_ms)
                    progress(1.0 - len(left) / len(trials))
                    if (node, how) == ("gate", "kill"):
                        break  # it never comes back by itself
    monitor = times.get("monitor_kill", []) + times.get("monitor_stop", [])
    figures = {**percentiles("monitor_loss_to_safe_%s_ms", monitor, aim=LOSS_AIM, judged="max"),
               "loss_missed": Figure(len(failed), "", 0, len(trials))}
    for key, values in times.items():
        aim = None if "twin" in key else LOSS_AIM
        all_of_it = percentiles(f"{key}_to_safe_%s_ms", values, aim=aim, judged="max")
        figures.update({k: v for k, v in all_of_it.items() if k.endswith(("p50_ms", "max_ms"))})
    return Measured(figures, {f"{k}_ms": v for k, v in times.items()}, NOTE + "".join(f"; {f}" for f in failed))


def dropouts(options: Options, progress: Progress) -> Measured:
    n = options.samples or (3 if options.quick else 25)
    times: dict[str, list[float]] = {"joints": [], "imus": [], "imu_backup": []}
    missed = 0
    with own_domain(), _graph() as world:
        for topic in SILENT.values():
            world.listen(topic)
        for k in range(3 * n):
            kind, id = (("joints", "D1"), ("imus", "D1-imus"), ("imu_backup", "D1-imu"))[k % 3]
            begin = time.monotonic_ns()
            answer = _again(world, id)
            took = None if answer is None else answer.safe_ms
            if took is not None and kind in SILENT:
                took = _since_last_sample(world, SILENT[kind], begin)
            if took is None:
                missed += 1
            else:
                times[kind].append(took)
            progress((k + 1) / (3 * n))
    judged = times["joints"] + times["imus"]
    figures = {**percentiles("dropout_to_safe_%s_ms", judged, aim=DROPOUT_AIM, judged="max"),
               "dropout_missed": Figure(missed, "", 0, 3 * n)}
    for kind, values in times.items():
        figures.update(percentiles(f"dropout_{kind}_%s_ms", values))
    return Measured(figures, {f"dropout_{k}_ms": v for k, v in times.items()}, DROPOUT_NOTE)


def _since_last_sample(world: GraphWorld, topic: str, begin_ns: int) -> float | None:
    """From the last sample before the longest silence to the gate's word."""
    arrivals = [h.mono_ns for h in world.heard[topic] if h.mono_ns >= begin_ns]
    gaps = [(b - a, a) for a, b in pairwise(arrivals)]
    if not gaps:
        return None
    last = max(gaps)[1]
    word = [h.mono_ns for h in world.heard["safety/gate"] if h.mono_ns >= last and h.value.state != "passing"][:1]
    word += [h.mono_ns for h in world.heard["robot/joint_command"] if h.mono_ns >= last and h.value.epoch == 0][:1]
    return (min(word) - last) / MS if word else None


def cpu(options: Options, progress: Progress) -> Measured:
    seconds = 5.0 if options.quick else 60.0
    with own_domain(), _graph() as world:
        assert world.supervisor is not None
        used = Cpu()
        used.mark(world.supervisor.pids())
        for k in range(10):
            world.wait(seconds / 10)
            progress((k + 1) / 10)
        used.sample(world.supervisor.pids())
    shares = used.shares()
    return Measured({f"cpu_{name}": Figure(round(share, 4), "cores") for name, share in shares.items()}, {},
                    CPU_NOTE.format(seconds=seconds))
