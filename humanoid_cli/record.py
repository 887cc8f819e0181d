"""`humanoid-twin record`: a bag of a running graph, from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console

from humanoid_cli.demo import stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.types import Level
from humanoid_replay.about import NODES, about, parameters_of
from humanoid_replay.bag_recorder import PERIOD, stamp, topics
from humanoid_replay.black_box import BlackBox
from humanoid_replay.errors import BagError
from humanoid_replay.recorder import MIB, Recorder
from humanoid_replay.recording import Limits
from humanoid_ros.watcher import Watcher, own_context

#: Parameters while no node runs.
NOBODY = "{}"


@dataclass(frozen=True)
class RecordOptions:
    bag: Path
    seconds: float | None = None
    namespace: str = ""
    robot: str = "g1"
    storage: str = "mcap"
    pictures: bool = True
    limits: Limits = field(default_factory=Limits)
    save_on: Level | None = None
    save_after: float = 5.0


def record(options: RecordOptions) -> int:
    """Until Ctrl-C or for `seconds`. 0: all that was heard is in the bag; 1: some is not, or nothing was heard."""
    robot = load_robot(options.robot)
    console = Console(highlight=False)
    with stop_on_signals() as stop:
        context = own_context()
        try:
            metadata = about(robot, parameters=_parameters(context, options.namespace))
            try:
                recorder = Recorder(options.bag, metadata, options.limits, options.storage)
            except BagError as error:
                raise BadInput(str(error)) from None
            watcher = Watcher(context, options.namespace, sink=recorder, topics=topics(options.pictures),
                              period=PERIOD, prompt=False)
            watcher.start()
            console.print(f"recording into {options.bag}; Ctrl-C ends it", soft_wrap=True)
            try:
                _wait(stop, watcher, recorder, options, lambda line: console.print(line, soft_wrap=True))
            finally:
                if metadata["parameters"] == NOBODY:  # it was begun before the graph
                    recorder.recording.note("parameters", _parameters(context, options.namespace))
                watcher.stop()
                recorder.close(watcher.missed)
        finally:
            rclpy.shutdown(context=context)
    account = recorder.account
    heard = len(recorder.recording.counts)
    console.print(f"{options.bag}: {account.written} messages of {heard} topics", soft_wrap=True)
    for topic, n in sorted(watcher.missed.items()):
        console.print(f"{topic}: {n} messages were published and never came: this machine is too busy", soft_wrap=True)
    for line in _lacking(recorder) + watcher.errors:
        console.print(line, style="red", soft_wrap=True)
    if not account.written:
        console.print("nothing was heard: is a graph running in this ROS_DOMAIN_ID (and --namespace)?", style="red")
    return 0 if account.written and account.complete and not watcher.errors else 1


def level_of(word: str) -> Level | None:
    """A safety level by name; None for 'never'."""
    if word.lower() == "never":
        return None
    try:
        return Level[word.upper()]
    except KeyError:
        raise BadInput(f"--save-on {word}: must be one of {', '.join(x.name for x in Level)} or never") from None


def _wait(stop: threading.Event, watcher: Watcher, recorder: Recorder, options: RecordOptions,
          say: Callable[[str], None]) -> None:
    """Sleep through the recording; save the ring when the safety level rises."""
    box = BlackBox(options.save_on if options.limits.ring > 0.0 else None, options.save_after)
    end = None if options.seconds is None else time.monotonic() + options.seconds
    while not stop.wait(0.1) and (end is None or time.monotonic() < end) and not recorder.account.why:
        status = watcher.latest("safety/status")
        if status is not None:
            box.hear(status.level, status.cause, time.monotonic_ns())
        why = box.due(time.monotonic_ns())
        if why:
            since = time.time_ns() - round((options.limits.ring + options.save_after) * NS)
            target = options.bag.with_name(f"{options.bag.name}-saved-{stamp()}")
            try:
                say(f"saved {recorder.save(target, since)}: {why}")
            except BagError as error:  # the ring goes on
                say(f"not saved: {error}")


def _lacking(recorder: Recorder) -> list[str]:
    account = recorder.account
    lines = [account.why] if account.why else []
    if account.pictures_left_out:
        lines.append(f"{account.pictures_left_out} pictures were left out: the disk was too slow or nearly full "
                     f"(most waiting: {account.most_waiting / MIB:.0f} MiB)")
    return lines + [f"{topic}: {n} messages were lost" for topic, n in account.lost.items()]


def _parameters(context: Any, namespace: str) -> str:
    """JSON of the parameters of the nodes that run now."""
    node = rclpy.create_node("record_parameters", context=context, namespace=namespace, enable_rosout=False,
                             start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin(future: Any, timeout: float) -> Any:
        executor.spin_until_future_complete(future, timeout)
        return future.result() if future.done() else None

    try:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and len(node.get_node_names()) < 2:
            executor.spin_once(timeout_sec=0.05)
        there = [name for name in NODES if name in node.get_node_names()]
        prefix = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
        return parameters_of(node, [f"{prefix}/{name}" for name in there], spin)
    finally:
        executor.shutdown()
        node.destroy_node()
