"""The onboard controller's state machine: asked what it is in, told to crouch or damp, released for ``lowcmd``.

Requests and answers are plain data; whoever owns the wire sends and receives them. No clock is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from humanoid_core.timing import NS
from humanoid_core.types import Mode
from robot_nodes.core.actuation import ARM_SDK
from robot_nodes.core.unitree_spec import Onboard as OnboardSpec

#: How often the controller is asked, how long an answer counts, and when a request that was not answered is repeated.
ASK_NS, KNOWN_NS, AGAIN_NS = NS // 2, 3 * NS, NS


@dataclass(frozen=True)
class Request:
    """``parameter``: JSON. ``acts``: it changes what the robot does, so a dry run keeps it back."""

    number: int
    service: str
    api: int
    parameter: str
    acts: bool


@dataclass(frozen=True)
class Answer:
    """``code`` 0: done; ``data``: JSON or ''."""

    number: int
    api: int
    code: int
    data: str


class Onboard:
    """``why_not`` is '' while commands may be sent, otherwise why they may not."""

    def __init__(self, spec: OnboardSpec, control: str, check: bool = True, release: bool = False) -> None:
        self.spec, self._arm, self._check, self._may_release = spec, control == ARM_SDK, check, release
        self.fsm: int | None = None
        #: Name of the motion service that is active; '' none, None not known.
        self.service: str | None = None
        self.errors: dict[str, int] = {}
        self._number = 0
        self._open: dict[int, tuple[int, int]] = {}  # number -> (api, asked at)
        self._known_ns: int | None = None
        self._asked_ns: dict[int, int] = {}
        self._wanted: int | None = None

    def step(self, now_ns: int, mode: Mode, answers: list[Answer]) -> list[Request]:
        """Take answers, return what is to be asked now."""
        for answer in answers:
            self._hear(answer, now_ns)
        spec, out = self.spec, []
        wanted = {Mode.CROUCH: spec.crouch, Mode.DAMP: spec.damp}.get(mode)
        if wanted != self._wanted:
            self._wanted = wanted
            self._asked_ns.pop(spec.set_fsm, None)
        if wanted is not None and self.fsm != wanted and self._due(spec.set_fsm, AGAIN_NS, now_ns):
            out.append(self._ask(spec.service, spec.set_fsm, {"data": wanted}, now_ns, acts=True))
        if self._due(spec.get_fsm, ASK_NS, now_ns):
            out.append(self._ask(spec.service, spec.get_fsm, {}, now_ns))
        if not self._arm:
            if self._due(spec.check_mode, ASK_NS, now_ns):
                out.append(self._ask(spec.switcher, spec.check_mode, {}, now_ns))
            if self._may_release and self.service and self._due(spec.release_mode, AGAIN_NS, now_ns):
                out.append(self._ask(spec.switcher, spec.release_mode, {}, now_ns, acts=True))
        self._open = {n: entry for n, entry in self._open.items() if now_ns - entry[1] < KNOWN_NS}
        return out

    def why_not(self, now_ns: int) -> str:
        """Why the onboard controller cannot be commanded now, '' when it can."""
        if not self._check:
            return ""
        silent = self._known_ns is None or now_ns - self._known_ns > KNOWN_NS
        if self._arm:
            if silent:
                return "the onboard controller does not answer"
            if self.fsm not in self.spec.run and (self.fsm is None or self.fsm != self._wanted):
                return f"the onboard controller is in state {self.fsm}; arm_sdk needs one of {list(self.spec.run)}"
            return ""
        if silent or self.service is None:
            return "the motion switcher does not answer"
        return f"the motion service '{self.service}' is active; release it before lowcmd" if self.service else ""

    def _due(self, api: int, every_ns: int, now_ns: int) -> bool:
        last = self._asked_ns.get(api)
        return last is None or now_ns - last >= every_ns

    def _ask(self, service: str, api: int, parameter: dict[str, int], now_ns: int, acts: bool = False) -> Request:
        self._number += 1
        self._asked_ns[api] = now_ns
        self._open[self._number] = (api, now_ns)
        return Request(self._number, service, api, json.dumps(parameter), acts)

    def _hear(self, answer: Answer, now_ns: int) -> None:
        if self._open.pop(answer.number, (None, 0))[0] != answer.api:
            return  # somebody else's, or too late
        if answer.code != 0:
            self._error(f"api {answer.api} answered {answer.code}")
            return
        if answer.api not in (self.spec.get_fsm, self.spec.check_mode):
            return
        try:
            data = json.loads(answer.data)
            if answer.api == self.spec.get_fsm:
                self.fsm = int(data["data"])
                known = self._arm
            else:
                self.service = str(data["name"])
                known = not self._arm
        except (ValueError, KeyError, TypeError):
            self._error(f"api {answer.api} answered {answer.data[:40]!r}")
            return
        if known:
            self._known_ns = now_ns

    def _error(self, text: str) -> None:
        self.errors[text] = self.errors.get(text, 0) + 1
