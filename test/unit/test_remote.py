"""Policies behind servers: an answer over the real wire, and every way in which a server of each kind can fail."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import wait_for
from peers.board import Peer
from unit.policy_world import POLICIES, ROBOT, T0, answered, ask, observation, open_things, refused

from humanoid_core.timing import MS, NS
from humanoid_core.types import GateStatus, JointCommand, Level, Permit
from vla_nodes.backends.make import make_backend, under_contract
from vla_nodes.backends.remote import Remote
from vla_nodes.backends.wire import Request
from vla_nodes.core.contract import ContractError, contract_from_data
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision
from vla_nodes.core.session import Answer, Session, SessionParams

SCHEME = {"openpi": "ws://127.0.0.1:{}", "gr00t": "tcp://127.0.0.1:{}", "openvla": "http://127.0.0.1:{}",
          "lerobot": "127.0.0.1:{}"}  # fmt: skip
HORIZON = {"openpi": 50, "gr00t": 16, "openvla": 8, "lerobot": 50}
UPPER = list(ROBOT.groups["upper_body"])


@pytest.fixture(params=sorted(SCHEME))
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def peer(protocol: str) -> Iterator[Peer]:
    with Peer(protocol, "--horizon", str(HORIZON[protocol])) as server:
        yield server


@pytest.fixture
def backend(peer: Peer) -> Iterator[Remote]:
    made = make(peer)
    yield made
    made.close()


def make(peer: Peer, **changes: Any) -> Remote:
    """The shipped contract of the peer's protocol, with a shorter deadline where asked."""
    data = yaml.safe_load((POLICIES / f"g1_{peer.name}.yaml").read_text()) | changes
    loaded = contract_from_data(data, POLICIES / f"g1_{peer.name}.yaml", ROBOT)
    backend = under_contract(loaded, ROBOT, SCHEME[peer.name].format(peer.port))
    assert isinstance(backend, Remote)
    assert backend.start("touch the red cube") is None
    return backend


def test_an_answer_in_radians_of_the_robots_joints(peer: Peer, backend: Remote) -> None:
    decision = answered(backend)
    terms = backend.mapping.terms
    assert decision.positions.shape == (terms.horizon, len(backend.mapping.joints))
    assert (decision.state, decision.step_dt) == ("acting", terms.step)
    places = [ROBOT.index(n) for n in decision.joint_names]
    off = decision.positions - ROBOT.rest[places]
    assert np.allclose(off[:, 1:], 0.0, atol=1e-4), "all but the first are told to stay"
    assert np.all(np.diff(off[:, 0]) > 0.001), "the first goes up evenly"


#: What each fault is called; `half` is silence where the wire has lengths, and nonsense where messages come whole.
CODES = {
    "nan": {"BAD_REPLY"}, "shape": {"BAD_REPLY"}, "traceback": {"SERVER_ERROR"}, "drop": {"NO_SERVER", "NO_REPLY"},
    "hang": {"NO_REPLY"}, "half": {"NO_REPLY", "BAD_REPLY"}, "delay": {"NO_REPLY"},
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(CODES))
def test_each_fault_is_refused_in_time_and_gone_when_it_is_gone(peer: Peer, fault: str) -> None:
    backend = make(peer, deadline=0.4)
    try:
        answered(backend)
        peer.set(**({"delay": 0.7} if fault == "delay" else {"mode": fault}))
        began = time.monotonic()
        got = ask(backend)
        took = time.monotonic() - began
        assert isinstance(got, Refusal)
        assert got.code in CODES[fault], got
        assert len(got.detail) > 15
        # a bound against hanging, not a measurement
        assert took < 5.0
        peer.set(delay=0.0, mode="ok")
        answered(backend)
    finally:
        backend.close()


def test_a_server_that_is_killed_and_comes_back(peer: Peer, backend: Remote) -> None:
    answered(backend)
    peer.kill()
    got = refused(backend, "NO_SERVER")
    assert str(peer.port) in got.detail
    began = time.monotonic()
    ask(backend)
    assert time.monotonic() - began < 0.3, "nobody is asked while there is no connection"
    peer.start()
    answered(backend)


def test_a_server_that_is_not_there_yet(protocol: str) -> None:
    with Peer(protocol, "--horizon", str(HORIZON[protocol])) as peer:
        peer.kill()
        backend = make(peer)
        try:
            refused(backend, "NO_SERVER")
            peer.start()
            answered(backend)
        finally:
            backend.close()


CYCLES = {"openpi": 200, "gr00t": 200, "openvla": 200, "lerobot": 200}


@pytest.mark.slow
def test_no_thread_and_no_socket_stays_behind(peer: Peer) -> None:
    """Connections that break in turn by an error, a drop and a deadline, again and again."""
    backend = make(peer, deadline=0.25)
    try:
        answered(backend)
        for mode in ("traceback", "ok", "drop", "ok"):  # what a library keeps once, it may keep
            _cycle(peer, backend, mode)
        threads, files = open_things()
        for _, mode in zip(range(CYCLES[peer.name]), itertools.cycle(("drop", "traceback", "nan")), strict=False):
            _cycle(peer, backend, mode)
        peer.set(mode="hang")
        ask(backend)
        peer.set(mode="ok")
        answered(backend)
        wait_for(lambda: open_things()[0] <= threads + 1, 10.0, f"threads to end: {threads} -> {open_things()[0]}")
        wait_for(lambda: open_things()[1] <= files + 3, 10.0, f"files to close: {files} -> {open_things()[1]}")
    finally:
        backend.close()


def _cycle(peer: Peer, backend: Remote, mode: str) -> None:
    peer.set(mode=mode)
    ask(backend)
    peer.set(mode="ok")
    # the pause before the next attempt is the link's; without it 200 cycles would take minutes
    answered(backend)


class Loop:
    """A session with its backend on a clock of its own: each look is answered for real and costs what it took."""

    def __init__(self, backend: Remote) -> None:
        self.session = Session(ROBOT, "test", backend.period, SessionParams(timeout=600.0, patience=60.0))
        self.backend, self.now = backend, T0
        self.q = ROBOT.rest.copy()
        self.commands: list[JointCommand] = []
        self.later: tuple[int, Answer] | None = None

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        end = self.now + round(seconds * NS)
        while self.now < end and not (until is not None and until()):
            self.now += 10 * MS
            self.session.hear_permit(Permit(self.now, 1, Level.SAFE, 1.0, 0.03, True, False, 0), self.now)
            self.session.hear_gate(GateStatus(self.now, "passing", "", 0, 0, (), 0, 0, 0.0, 0.0))
            command = self.session.tick(self.now, self.now)
            if command is not None:
                self.commands.append(command)
                self.q[UPPER] = command.position
            if self.later is not None and self.now >= self.later[0]:
                self.session.answer(self.later[1], self.now)
                self.later = None
            look = self.session.look(self.now)
            if look is not None:
                answer, cost = self.answer(look)
                self.later = self.now + max(round(cost * NS), MS), answer

    def answer(self, look: Any) -> tuple[Answer, float]:
        began = time.monotonic()
        if look.start:
            self.backend.start(look.instruction)
        seen = look.onto(observation(self.now, 20 * MS, self.q.copy()))
        got = self.backend.observe(seen)
        cost = time.monotonic() - began
        if isinstance(got, Refusal):
            return Answer(look, missing=got), cost
        return Answer(look, observation=seen, decision=got, begin_ns=self.now, end_ns=self.now), cost


def test_an_outage_slows_to_a_hold_says_why_and_goes_on_without_a_jump(peer: Peer, backend: Remote) -> None:
    answered(backend)
    loop = Loop(backend)
    number = loop.session.instruct("touch the red cube", loop.now)
    loop.run(1.0)
    assert loop.commands
    peer.kill()
    loop.run(3.0)
    status = loop.session.status(loop.now)
    # ZMQ does not tell that the other end is gone
    assert (status.state, status.reason_code in ("NO_SERVER", "NO_REPLY")) == ("waiting", True), status
    stopped = len(loop.commands)
    assert np.max(np.abs(loop.commands[-1].velocity)) < 1e-6, "it came to rest before it fell silent"
    peer.start()
    wait_for(lambda: loop.run(0.2) or len(loop.commands) > stopped, 30.0, "motion")
    loop.run(1.0)
    assert loop.session.outcome(number) is None
    assert loop.commands[-1].epoch > loop.commands[stopped - 1].epoch
    position = np.array([c.position for c in loop.commands])
    assert np.max(np.abs(np.diff(position, axis=0)) / ROBOT.command_velocity[UPPER]) <= 0.0101, "no jump"
    velocity = np.array([c.velocity for c in loop.commands])
    assert np.max(np.abs(np.diff(velocity, axis=0)) / ROBOT.command_acceleration[UPPER]) <= 0.0101
    assert loop.session.status(loop.now).reason_code == ""


def test_answers_that_take_ever_another_time_make_no_jump(peer: Peer, backend: Remote) -> None:
    answered(backend)
    peer.set(delay=0.02, jitter=0.3)
    loop = Loop(backend)
    loop.session.instruct("touch the red cube", loop.now)
    loop.run(6.0)
    assert loop.session.chunks >= 5
    position = np.array([c.position for c in loop.commands])
    assert np.max(np.abs(np.diff(position, axis=0)) / ROBOT.command_velocity[UPPER]) <= 0.0101
    velocity = np.array([c.velocity for c in loop.commands])
    assert np.max(np.abs(np.diff(velocity, axis=0)) / ROBOT.command_acceleration[UPPER]) <= 0.0101


# --- what one protocol only has


def test_lerobot_reads_no_pickle_that_could_run_a_program() -> None:
    with Peer("lerobot") as peer:
        backend = make(peer)
        try:
            answered(backend)
            peer.set(mode="evil")
            got = refused(backend, "BAD_REPLY")
            assert "system is not allowed" in got.detail
        finally:
            backend.close()


def test_lerobot_reads_torch_tensors() -> None:
    with Peer("lerobot", "--size", "1") as peer:
        backend = make(peer)
        try:
            assert answered(backend, 60.0).positions.shape == (50, 17)
        finally:
            backend.close()


def test_lerobot_talks_to_loopback_and_to_whom_it_is_told_only() -> None:
    with pytest.raises(ContractError, match=r"neither loopback nor in lerobot\.allow"):
        make_backend("lerobot", ROBOT, "g1_lerobot", "10.0.0.7:8080")
    with pytest.raises(ContractError, match="neither"):
        make_backend("lerobot", ROBOT, "g1_lerobot", "127.0.0.1.example.org:8080")


@pytest.mark.parametrize(("protocol", "block", "word"), [
    ("openpi", {"openpi": {"metadata": {"action_horizon": 25}}}, "openpi.metadata.action_horizon = 25"),
    ("gr00t", {"horizon": 8}, "horizon = [8]"),
    ("gr00t", {"instruction": "task"}, "instruction = 'task'"),
])  # fmt: skip
def test_a_server_that_says_something_else_than_the_contract(protocol: str, block: dict[str, Any], word: str) -> None:
    with Peer(protocol, "--horizon", str(HORIZON[protocol])) as peer:
        backend = make(peer, **block)
        try:
            got = refused(backend, "CONTRACT")
            assert word in got.detail
            assert "says" in got.detail, "both sides are named"
            assert str(peer.port) in got.detail
        finally:
            backend.close()


def test_a_backend_of_another_name_or_without_contract_is_refused() -> None:
    with pytest.raises(ContractError, match="parameter backend says 'gr00t'"):
        make_backend("gr00t", ROBOT, "g1_openpi")
    with pytest.raises(ContractError, match="g1_gr00t"):
        make_backend("gr00t", ROBOT)


def test_openpi_gets_the_rows_to_come_when_its_server_takes_them() -> None:
    """Real-time chunking over the wire: this server says how many rows of the prefix it was given."""
    with Peer("openpi") as peer:
        backend = make(peer, openpi={"prefix": {"key": "prefix", "delay_key": "inference_delay"}})
        try:
            answered(backend)
            first = observation(T0)
            assert isinstance(backend.observe(first), Decision)
            prefix = backend.mapping.prefix(observation(T0 + 200 * MS, following_ns=T0, lead=0.1))
            assert prefix is not None
            assert (prefix[0]["actions"].shape, prefix[1]) == ((40, 17), 5)
            told = backend.link.ask(
                Request(backend.mapping.inputs(observation(T0 + 200 * MS)), "go", prefix=prefix), 5.0)  # type: ignore[arg-type]
            assert not isinstance(told, Refusal)
            assert told["prefix_rows"] == 40
        finally:
            backend.close()


def test_a_task_that_ends_when_the_policy_has_come_to_rest() -> None:
    with Peer("openpi") as peer:
        backend = make(peer, end="steady", steady={"least": 1.0, "time": 0.5})
        try:
            answered(backend)
            backend.start("go")
            high = ROBOT.rest.copy()
            high[ROBOT.index("waist_yaw_joint")] = 0.4  # where the test policy stays
            states = [backend.observe(observation(T0 + k * 200 * MS, position=high)) for k in range(8)]
            assert [s.state for s in states if isinstance(s, Decision)] == ["acting"] * 5 + ["done"] * 3
            assert states[5].succeeded  # type: ignore[union-attr]
        finally:
            backend.close()


def test_closing_does_not_wait_for_a_server_that_hangs(peer: Peer) -> None:
    backend = make(peer)
    answered(backend)
    peer.set(mode="hang")
    thread = threading.Thread(target=lambda: ask(backend))
    thread.start()
    wait_for(lambda: backend.link._job is not None, 10.0, "the question to be under way")
    began = time.monotonic()
    backend.close()
    thread.join(5.0)
    assert not thread.is_alive()
    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize(("protocol", "block"), [
    ("gr00t", {"gr00t": {"dialect": "service"}}), ("openvla", {"openvla": {"encoded": True, "unnorm_key": "bridge"}}),
])  # fmt: skip
def test_the_other_dialect_of_a_protocol(protocol: str, block: dict[str, Any]) -> None:
    with Peer(protocol, "--horizon", str(HORIZON[protocol])) as peer:
        backend = make(peer, **block)
        try:
            assert answered(backend).positions.shape[0] == HORIZON[protocol]
            peer.set(mode="traceback")
            refused(backend, "SERVER_ERROR")
        finally:
            backend.close()


def test_a_policy_of_one_row_moves_in_steps_and_holds_between_them() -> None:
    """OpenVLA: one row, here 0.3 s ahead; the next answer comes in time to go on."""
    with Peer("openvla", "--horizon", "1") as peer:
        backend = make(peer, horizon=1, step=0.3)
        try:
            answered(backend)
            loop = Loop(backend)
            loop.session.instruct("touch the red cube", loop.now)
            loop.run(3.0)
            shoulder = loop.commands[0].joint_names.index("right_shoulder_pitch_joint")
            positions = np.array([c.position[shoulder] for c in loop.commands])
            assert positions[-1] - positions[0] > 0.05
            assert np.all(np.diff(positions) > -1e-4)
            assert loop.session.status(loop.now).reason_code == ""
            assert {c.epoch for c in loop.commands} == {1}, "never exhausted"
        finally:
            backend.close()
