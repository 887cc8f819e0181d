"""The shape of a policy contract: what a policy sees, what it answers, and what its numbers mean.

Only structure and what one file can tell about itself is judged here; robot, server and checkpoint are compared in
``contract``. Times in s; joints in rad on the robot's side.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from humanoid_core.robot_schema import Name, NotNegative, Pixels, Positive, Real, Strict

Index = Annotated[int, Field(strict=True, ge=0, le=4095)]
Count = Annotated[int, Field(strict=True, ge=1, le=4096)]
Key = Annotated[str, Field(strict=True, min_length=1)]
Sha256 = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
Protocol = Literal["openpi", "gr00t", "openvla", "lerobot", "hf"]
#: A worker must be free again before the observation is too old for its chunk, and before the node ends.
LONGEST_DEADLINE = 0.9


def wrong(key: str, value: Any, text: str) -> PydanticCustomError:
    """A refusal that points at one key of the block being checked."""
    return PydanticCustomError("at_key", "{text}", {"key": key, "value": value, "text": text})


class Normalise(Strict):
    """How numbers are scaled on the policy's side; ``at`` is the dotted place in the statistics file.

    quantile: 2 (x - q01) / (q99 - q01) - 1; min_max: the same with min and max; mean_std: (x - mean) / std. A
    ``mask`` in the file leaves entries with false as they are.
    """

    kind: Literal["quantile", "min_max", "mean_std"]
    at: Key


class Statistics(Strict):
    """A JSON file of normalisation statistics, beside the contract or in the checkpoint's folder."""

    file: Key
    sha256: Sha256


class History(Strict):
    """``samples`` of a stream, the newest last, ``spacing`` s apart and at most ``tolerance`` s off."""

    samples: Count = 1
    spacing: Positive = 0.1
    tolerance: Positive = 0.05


class Picture(Strict):
    """One picture that the policy sees, [height, width, 3] of uint8 RGB (``layout`` chw: [3, height, width]).

    ``offset``: s by which the driver's stamp is later than the exposure; the age counts from the exposure.
    """

    key: Key
    topic: Literal["camera/head/image_raw"] = "camera/head/image_raw"
    size: tuple[Pixels, Pixels]
    layout: Literal["hwc", "chw"] = "hwc"
    fit: Literal["pad", "stretch"] = "pad"
    max_age: Positive = 0.3
    offset: Real = 0.0
    history: History = History()


class StateJoint(Strict):
    """policy value = sign * robot value, in ``unit``."""

    index: Index
    sign: Literal[1, -1] = 1
    unit: Literal["rad", "deg"] = "rad"


class ActionJoint(StateJoint):
    """``mode``: absolute; relative (added to the position of the observation); step (added to the row before)."""

    mode: Literal["absolute", "relative", "step"] = "absolute"


class Group(Strict):
    """One vector of the policy under one key: which entry belongs to which joint."""

    key: Key
    size: Count
    normalise: Normalise | None = None

    def _covered(self, taken: list[int], how: str) -> None:
        seen = sorted(taken)
        if seen != list(range(self.size)):
            twice = sorted({i for i in seen if seen.count(i) > 1})
            over = [i for i in seen if i >= self.size]
            lacking = sorted(set(range(self.size)) - set(seen))
            what = f"given twice: {twice}" if twice else f"beyond size: {over}" if over else f"missing: {lacking}"
            raise wrong("joints", seen, f"every index below size {self.size} needs a joint or {how}, once; {what}")


class StateGroup(Group):
    """Part of the robot's state. ``constants``: entries that this robot lacks, and what the policy is told."""

    topic: Literal["ingest/robot_state"] = "ingest/robot_state"
    field: Literal["position", "velocity"] = "position"
    max_age: Positive = 0.1
    offset: Real = 0.0
    history: History = History()
    joints: dict[Name, StateJoint]
    constants: dict[Index, Real] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> StateGroup:
        self._covered([*(j.index for j in self.joints.values()), *self.constants], "an entry in constants")
        return self


class ActionGroup(Group):
    """Part of the action. ``ignore``: entries that this robot cannot follow, such as a gripper."""

    joints: dict[Name, ActionJoint]
    ignore: tuple[Index, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> ActionGroup:
        self._covered([*(j.index for j in self.joints.values()), *self.ignore], "a place in ignore")
        return self


class Prefix(Strict):
    """For servers that take part in real-time chunking: under ``key`` the rows of the running chunk that are still to
    come, [rows, size] in the policy's units, and under ``delay_key`` how many of them are executed anyway."""

    key: Key
    delay_key: Key


class Openpi(Strict):
    """``api_key_env``: environment variable with the key. ``metadata``: what the server must say when connecting."""

    api_key_env: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    prefix: Prefix | None = None


class Gr00t(Strict):
    """``dialect``: policy (N1.6 and later), or service (older servers: the data is the observation itself)."""

    dialect: Literal["policy", "service"] = "policy"
    api_token_env: str = ""
    check_modality: bool = True


class Openvla(Strict):
    """``encoded``: send the request as a JSON string in {"encoded": ...}."""

    path: Annotated[str, Field(pattern=r"^/")] = "/act"
    unnorm_key: str = ""
    encoded: bool = False


class Lerobot(Strict):
    """What the server shall load. ``allow``: host names besides loopback that may be connected to: replies are
    pickles, and observations tell a foreign host everything."""

    policy_type: Key
    pretrained: Key
    device: str = "cpu"
    allow: tuple[str, ...] = ()
    module: str = "lerobot.async_inference.helpers"
    load_time: Positive = 120.0


class Hf(Strict):
    """``head``: actions (the model's output has them) or tokens (the last ``bins`` of the vocabulary are bins of
    -1…1, as in RT-2 and OpenVLA). ``module``: imported first; it registers its classes with AutoConfig and AutoModel.
    """

    head: Literal["actions", "tokens"] = "actions"
    module: str = ""
    revision: str = ""
    trust_remote_code: bool = False
    device: str = "cpu"
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    bins: Count = 256
    prompt: str = "{instruction}"
    real_time_chunking: bool = False


class Steady(Strict):
    """The task counts as done when no joint of the chunk moves more than ``move`` rad over its horizon, for ``time``
    s, ``least`` s after the start at the earliest."""

    move: Positive = 0.02
    time: Positive = 1.0
    least: NotNegative = 3.0


class Memory(Strict):
    """For a policy that remembers: what it answers under ``key``, ``size`` numbers, comes back with the next question;
    zeros with the first of a task."""

    key: Key
    size: Count


class Least(Strict):
    """What an answer must be worth, 0 to 1. Below ``understood`` (which the policy then gives) the task is refused as
    NOT_UNDERSTOOD; below ``confidence`` nothing is done with the answer, and the reason is NOT_FOUND."""

    understood: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 0.0
    confidence: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 0.0


class Contract(Strict):
    """One policy on one robot. ``elapsed``: key of the seconds since the task began, for policies that want them.
    ``end``: servers do not say when a task is fulfilled. timeout: the task ends as
    TIMEOUT when its time is over; steady: as done when the policy has come to rest (see ``Steady``)."""

    description: str = ""
    robot: Name
    backend: Protocol
    server: str = ""
    checkpoint: str = ""
    period: Positive = 0.2
    deadline: Annotated[float, Field(strict=True, gt=0.0, le=LONGEST_DEADLINE)] = 0.8
    step: Annotated[float, Field(strict=True, ge=0.001, le=1.0)]
    horizon: Annotated[int, Field(strict=True, ge=1, le=1024)]
    skew: Positive = 0.02
    instruction: Key = "prompt"
    elapsed: str = ""
    memory: Memory | None = None
    least: Least = Least()
    pictures: tuple[Picture, ...]
    state: tuple[StateGroup, ...] = ()
    actions: Annotated[tuple[ActionGroup, ...], Field(min_length=1)]
    statistics: Statistics | None = None
    end: Literal["timeout", "steady"] = "timeout"
    steady: Steady = Steady()
    openpi: Openpi | None = None
    gr00t: Gr00t | None = None
    openvla: Openvla | None = None
    lerobot: Lerobot | None = None
    hf: Hf | None = None

    @model_validator(mode="after")
    def _fits(self) -> Contract:
        more = [k for k in (self.elapsed, self.memory.key if self.memory else "") if k]
        keys = [self.instruction, *more, *(p.key for p in self.pictures), *(g.key for g in self.state)]
        twice = sorted({k for k in keys if keys.count(k) > 1})
        if twice:
            raise wrong("pictures", twice[0], "a key is used by two streams")
        named = [name for group in self.actions for name in group.joints]
        doubled = sorted({n for n in named if named.count(n) > 1})
        if doubled:
            raise wrong("actions", doubled[0], "the joint gets two actions")
        for block in ("openpi", "gr00t", "openvla", "lerobot", "hf"):
            if block != self.backend and getattr(self, block) is not None:
                raise wrong(block, "...", f"a block for '{block}', but backend is '{self.backend}'")
        if self.backend == "lerobot" and self.lerobot is None:
            raise wrong("lerobot", None, "missing: the server must be told policy_type and pretrained")
        if self.backend == "hf" and not self.checkpoint:
            raise wrong("checkpoint", self.checkpoint, "missing: a folder beside the contract, or a hub name")
        if self.statistics is None and any(g.normalise for g in (*self.state, *self.actions)):
            raise wrong("statistics", None, "missing: a group is normalised, and nothing says with which numbers")
        streams: list[Picture | StateGroup] = [*self.pictures, *self.state]
        for part in streams:
            other = next(s for s in streams if s.topic == part.topic)
            if part.offset != other.offset:
                raise wrong("offset", part.offset, f"'{part.key}' and '{other.key}' come from {part.topic}: one "
                            f"offset, not also {other.offset}")  # fmt: skip
        for part in streams:
            times = part.history.spacing / self.period
            if part.history.samples > 1 and not abs(times - round(times)) * self.period <= part.history.tolerance:
                raise wrong("period", self.period, f"'{part.key}' wants samples every {part.history.spacing} s; looks "
                            f"that are {self.period} s apart never give them")  # fmt: skip
        return self
