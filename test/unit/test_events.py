"""What becomes a line of the event log: every change once, a flood as counts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from safety_world import MonitorWorld

from humanoid_core.reasons import Refusals
from humanoid_core.timing import MS, NS
from humanoid_core.types import Level, OverrideState, SafetyEvent
from safety_nodes.core.events import GateEvents, MonitorEvents
from safety_nodes.core.monitor import ResetAnswer
from safety_nodes.core.types import Verdict


def kinds(events: list[SafetyEvent]) -> list[str]:
    return [e.kind for e in events]


def test_a_stop_and_its_reset_are_told_in_order() -> None:
    world, log = MonitorWorld(), MonitorEvents(Refusals())
    events: list[SafetyEvent] = []

    def tick(verdict: Verdict) -> None:
        events.extend(log.tick(verdict, None, world.mono, world.ros))

    for _ in range(200):
        tick(world.tick())
    settled = [e.text.split(":")[0] for e in events]
    assert settled[-2:] == ["WARNING -> CAUTION", "CAUTION -> SAFE"]
    events.clear()
    for k in range(30):
        tick(world.tick(estops=world.beat("panel", True, k + 1)))
    assert kinds(events) == ["LEVEL", "LATCH"]
    assert (events[1].code, events[1].level) == ("ESTOP", Level.EMERGENCY)
    answer = world.reset(1, "Ada")
    (refused,) = log.reset(answer, "Ada", world.mono, world.ros)
    assert (refused.kind, refused.code, refused.subject) == ("RESET", "RESET_PRESSED", "Ada")
    events.clear()
    for k in range(300):
        tick(world.tick(estops=world.beat("panel", False, 100 + k)))
    (accepted,) = log.reset(world.reset(2, "Ada"), "Ada", world.mono, world.ros)
    assert (accepted.code, accepted.text) == ("", "accepted")
    tick(world.tick(estops=world.beat("panel", False, 1000)))
    assert [e.text.split(":")[0] for e in events] == ["EMERGENCY -> DANGER"]


def test_an_override_has_a_beginning_and_an_end() -> None:
    world, log = MonitorWorld(), MonitorEvents(Refusals())
    verdict = world.settle()
    log.tick(verdict, None, world.mono, world.ros)
    ada = OverrideState(world.ros, "Ada", True, 1, (), [], 1)
    said = [e for o in (None, ada, replace(ada, operator="Bob"), replace(ada, active=False))
            for e in log.tick(verdict, o, world.mono, world.ros)]
    assert [(e.subject, e.text) for e in said] == [("Ada", "begin"), ("Ada", "end"), ("Bob", "begin"), ("Bob", "end")]


@given(st.lists(st.tuples(st.sampled_from(["STALE", "OLD_EPOCH", "LIMIT_RATE"]), st.integers(1, 30)), max_size=400))
def test_a_flood_is_few_lines_and_every_refusal_is_in_one(steps: list[tuple[str, int]]) -> None:
    refused, now = Refusals(), 5 * NS
    log = GateEvents(refused)
    events: list[SafetyEvent] = []
    for code, wait_ms in steps:
        refused.refuse(code, "rig")
        now += wait_ms * MS
        events += log.refusals(now, now)
    seconds = (now - 5 * NS) / NS
    assert len(events) <= 3 * (seconds + 1)
    events += log.end(now, now)[:-1]
    counted = {code: 0 for code, _ in steps}
    for e in events:
        counted[e.code] += int(e.text.split()[0])
    assert counted == dict(refused.items())


def test_a_gate_that_flickers_is_counted() -> None:
    log, now = GateEvents(Refusals()), 5 * NS
    events: list[SafetyEvent] = []
    for k in range(400):
        now += 10 * MS
        out = SimpleNamespace(state="passing", reason="") if k % 2 else SimpleNamespace(state="halting", reason="STALE")
        events += log.tick(out, Level.SAFE, now, now)  # type: ignore[arg-type]
    assert len(events) <= 10
    latched = SimpleNamespace(state="latched", reason="ESTOP")
    assert kinds(log.tick(latched, Level.EMERGENCY, now, now))[0] == "LATCH"  # type: ignore[arg-type]
    events += log.end(now, now)[:-1]
    assert sum(1 if "->" in e.text else int(e.text.split()[0]) for e in events) == 400


def test_spam_of_resets_is_counted() -> None:
    world, log = MonitorWorld(), MonitorEvents(Refusals())
    verdict = world.settle()
    events = log.tick(verdict, None, world.mono, world.ros)[:0]
    for k in range(500):
        world.mono += 2 * MS
        events += log.reset(ResetAnswer(False, "RESET_RATE", "wait"), f"spammer {k}", world.mono, world.ros)
        events += log.tick(verdict, None, world.mono, world.ros)
    world.mono += NS
    events += log.tick(verdict, None, world.mono, world.ros)
    assert len(events) <= 4
    assert sum(1 if e.text.startswith("refused") else int(e.text.split()[0]) for e in events) == 500
