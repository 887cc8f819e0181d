"""Many episodes over many cores, or over many machines with Ray when it is installed.

Every worker makes its policy once and keeps it; episodes are independent and seeded, so the results do not depend on
how many workers there are. Ray takes the cluster that RAY_ADDRESS names, or starts one on this machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from humanoid_bench.eval_episode import Result, run_episode
from humanoid_bench.eval_tasks import Spec
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import RobotModel
from vla_nodes.backends.base import Backend
from vla_nodes.backends.make import under_contract
from vla_nodes.core.contract import load_contract

#: Wall time to load a model or reach a server, s. In simulated time a slow machine must not become a late answer: the
#: contract's deadline is replaced by this one, and the episode's ``delay`` counts instead.
LOADING, PATIENCE = 180.0, 60.0
RAY = "ray"


class EvalError(RuntimeError):
    """The policy cannot be evaluated; one line."""


@dataclass(frozen=True)
class Candidate:
    """A policy to evaluate: ``policy`` classical, or a contract by name or path; ``kind`` of house; ``timeout`` s."""

    policy: str
    robot: str = "g1"
    server: str = ""
    kind: str = "full"
    timeout: float = 25.0


def weights_of(candidate: Candidate, robot: RobotModel) -> str:
    """sha256 of the weights that a candidate loads from a folder, as its card has it (of several files: of their
    hashes in the order of their names); '' for a server, a hub name and the classical policy. Raises ContractError."""
    if candidate.policy == "classical" or candidate.server:
        return ""
    checkpoint = load_contract(candidate.policy, robot).checkpoint
    files = sorted(Path(checkpoint).glob("*.safetensors")) if checkpoint else []
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def make_policy(candidate: Candidate, robot: RobotModel) -> Backend:
    """The policy, loaded and connected. Raises ContractError, PostureError or EvalError."""
    if candidate.policy == "classical":
        from vla_nodes.backends.classical import Classical

        return Classical(robot)
    from vla_nodes.backends.remote import Remote

    loaded = load_contract(candidate.policy, robot)
    loaded = replace(loaded, terms=loaded.terms.model_copy(update={"deadline": PATIENCE}))
    backend = under_contract(loaded, robot, candidate.server)
    end = time.monotonic() + LOADING
    while isinstance(backend, Remote) and not backend.link.ready:
        why = backend.link.why
        if why.code == "CONTRACT" or time.monotonic() > end:
            backend.close()
            raise EvalError(f"{candidate.policy}: {why.code}: {why.detail}")
        time.sleep(0.02)
    return backend


class Worker:
    """Runs episodes of one candidate, one after another."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate, self._robot = candidate, load_robot(candidate.robot)
        self._backend = make_policy(candidate, self._robot)

    def run(self, spec: Spec) -> Result:
        return run_episode(self._robot, spec, self._backend, kind=self._candidate.kind, timeout=self._candidate.timeout)

    def close(self) -> None:
        self._backend.close()


def run_all(candidate: Candidate, specs: Sequence[Spec], workers: int, with_ray: bool | None = None,
            done: Callable[[Spec, Result], None] = lambda spec, result: None) -> list[Result]:
    """The results in the order of ``specs``. ``with_ray`` None: when it is installed."""
    with_ray = importlib.util.find_spec(RAY) is not None if with_ray is None else with_ray
    if not specs:
        return []
    if with_ray:
        found = _with_ray(candidate, specs, workers)
    elif workers <= 1:
        found = _here(candidate, specs)
    else:
        found = _processes(candidate, specs, workers)
    results: dict[int, Result] = {}
    for number, result in found:
        results[number] = result
        done(specs[number], result)
    return [results[i] for i in range(len(specs))]


def _here(candidate: Candidate, specs: Sequence[Spec]) -> Iterator[tuple[int, Result]]:
    worker = Worker(candidate)
    try:
        for number, spec in enumerate(specs):
            yield number, worker.run(spec)
    finally:
        worker.close()


_worker: Worker | None = None


def _prepare(candidate: Candidate) -> None:
    global _worker
    _worker = Worker(candidate)


def _one(spec: Spec) -> Result:
    assert _worker is not None
    return _worker.run(spec)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Children compute with one thread each: the cores are shared out by episodes."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _processes(candidate: Candidate, specs: Sequence[Spec], workers: int) -> Iterator[tuple[int, Result]]:
    spawn = multiprocessing.get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(workers, spawn, _prepare, (candidate,)) as pool:
        waiting: dict[Future[Result], int] = {pool.submit(_one, spec): i for i, spec in enumerate(specs)}
        try:
            while waiting:
                ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise EvalError(f"a worker for '{candidate.policy}' ended; run with --workers 1 to see why") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _with_ray(candidate: Candidate, specs: Sequence[Spec], workers: int) -> Iterator[tuple[int, Result]]:
    ray: Any = importlib.import_module(RAY)
    mine = not ray.is_initialized()
    if mine:
        cluster = os.environ.get("RAY_ADDRESS")
        sizes = {} if cluster else {"num_cpus": workers, "include_dashboard": False}
        ray.init(address=cluster, logging_level="ERROR", log_to_driver=False, **sizes)
    try:
        actor = ray.remote(num_cpus=1)(Worker)
        count = max(min(int(ray.cluster_resources().get("CPU", workers)), len(specs)), 1)
        idle = [actor.remote(candidate) for _ in range(count)]
        queue, running = list(enumerate(specs)), {}
        while queue or running:
            while queue and idle:
                number, spec = queue.pop(0)
                worker = idle.pop()
                running[worker.run.remote(spec)] = number, worker
            (ready, *_), _ = ray.wait(list(running), num_returns=1)
            number, worker = running.pop(ready)
            idle.append(worker)
            yield number, ray.get(ready)
    finally:
        if mine:
            ray.shutdown()
