"""Node main: how a node begins, ends, and fails, seen from outside its process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rclpy
from conftest import Process, wait_for
from humanoid_twin.msg import RobotMode

from humanoid_core.topics import TOPICS
from humanoid_ros.qos import profile

NODE = '''
import sys
from dataclasses import dataclass
from humanoid_ros.node import HumanoidNode, run
from humanoid_ros.params import declare, param

@dataclass(frozen=True)
class Params:
    rate: float = param(50.0, "loop rate", "Hz", low=1.0, high=200.0)
    fail: str = param("", "where to fail", choices=("", "timer", "loop"))

class Small(HumanoidNode):
    def __init__(self):
        super().__init__("small")
        self.params = declare(self, Params)
        self.steady_timer(0.05, self.on_timer)
        self.subscribe("robot/mode", lambda mode: print("mode", mode.mode.name, flush=True))
        self.steady_loop(self.params.rate, self.on_tick)
    def on_timer(self):
        if self.params.fail == "timer":
            raise RuntimeError("the timer broke")
    def on_tick(self, now_ns, loop):
        if self.params.fail == "loop":
            raise RuntimeError("the loop broke")
        if loop.ticks == 5:
            print("running", flush=True)
    def close(self):
        print("closed", flush=True)

sys.exit(run(Small))
'''


@pytest.fixture
def small(run_process: Callable[..., Process], tmp_path: Path) -> Callable[..., Process]:
    script = tmp_path / "small.py"
    script.write_text(NODE)
    return lambda *args: run_process([sys.executable, str(script), "--ros-args", *args])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_node_cleanly(small: Callable[..., Process], number: int) -> None:
    node = small()
    wait_for(lambda: "running" in node.output, what="the loop's fifth tick")
    node.signal(number)
    assert node.wait() == 0
    assert "closed" in node.output
    assert "Traceback" not in node.output


@pytest.mark.parametrize("where", ["timer", "loop"])
def test_an_error_ends_the_process_so_that_others_notice(small: Callable[..., Process], where: str) -> None:
    node = small("-p", f"fail:={where}")
    assert node.wait(30) == 1
    assert f"the {where} broke" in node.output
    assert "EXCEPTION" in node.output


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("raet:=20.0", "unknown parameter 'raet'; did you mean 'rate'?"),
        ("rate:=0.0", "rate = 0.0 Hz: must be at least 1.0 Hz"),
        ("rate:=.nan", "rate = nan"),
        ("rate:=fast", "rate = 'fast': must be float"),
        ("fail:=elsewhere", "must be one of"),
    ],
)
def test_a_bad_parameter_is_one_clear_line_and_exit_code_2(
    small: Callable[..., Process], argument: str, words: str
) -> None:
    node = small("-p", argument)
    assert node.wait(30) == 2
    assert words in node.output
    assert "Traceback" not in node.output


def test_a_value_without_a_word_is_refused_and_the_node_goes_on(small: Callable[..., Process]) -> None:
    node = small()
    wait_for(lambda: "running" in node.output, what="the loop's fifth tick")
    context = rclpy.Context()
    context.init()
    sender = rclpy.create_node("sender", context=context)
    try:
        publisher = sender.create_publisher(RobotMode, "robot/mode", profile(TOPICS["robot/mode"]))

        def say(mode: int, words: str) -> bool:
            publisher.publish(RobotMode(mode=mode))
            return words in node.output

        wait_for(lambda: say(9, "refused OUT_OF_RANGE: robot/mode"), what="the refusal")
        wait_for(lambda: say(1, "mode HOLD"), what="the next good message")
    finally:
        sender.destroy_node()
        context.shutdown()
    assert node.popen.poll() is None
