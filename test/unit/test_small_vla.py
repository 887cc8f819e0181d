"""The policy in the box: the shipped checkpoint is what its card says, acts on what it sees, and refuses what it does
not know. And what a contract says of a policy that remembers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import wait_for
from unit.policy_world import POLICIES, ROBOT, T0, observation, state

from humanoid_bench.studio import ALL, Studio, StudioError
from humanoid_core.timing import NS
from vla_nodes.backends.make import under_contract
from vla_nodes.backends.remote import Remote
from vla_nodes.backends.wire import Request, Wire
from vla_nodes.core.contract import ContractError, Loaded, contract_from_data, load_contract
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation

pytest.importorskip("torch")
UPPER = list(ROBOT.groups["upper_body"])
TOP = np.array([0.33, 0.05, 0.085])


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    try:
        made = Studio(ROBOT, 320, 240)
    except StudioError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shipped() -> Iterator[Remote]:
    backend = under_contract(load_contract("g1_small", ROBOT), ROBOT)
    assert isinstance(backend, Remote)
    wait_for(lambda: backend.link.ready, 120.0, "the checkpoint")
    yield backend
    backend.close()


def seen(studio: Studio, seed: int, target: int, now_ns: int = T0) -> Observation:
    """A picture of a scene with one thing at ``TOP``, the robot at rest."""
    shot = studio.shoot(np.random.default_rng(seed), ROBOT.rest[UPPER], target, TOP)
    s = state(now_ns)
    return Observation(now_ns, now_ns, shot.rgb, np.zeros((0, 0), np.float32), np.full((3, 3), np.nan), s, s,
                       image_ns=now_ns)  # fmt: skip


def test_the_checkpoint_is_what_its_card_says(tmp_path: Path) -> None:
    from vla_nodes.training.export import ExportError, check

    folder = POLICIES / "g1_small"
    assert len(check(folder)) == 64
    assert sum(p.stat().st_size for p in folder.iterdir()) < 20 * 2**20
    copy = tmp_path / "g1_small"
    shutil.copytree(folder, copy)
    with (copy / "model.safetensors").open("r+b") as blob:
        blob.seek(-1, 2)
        blob.write(b"\x7f")
    with pytest.raises(ExportError, match="weights_sha256"):
        check(copy)


def test_the_named_arm_goes_and_the_other_stays(shipped: Remote, studio: Studio) -> None:
    for hand, other in (("left", "right"), ("right", "left")):
        assert shipped.start(f"touch the red cube with your {hand} hand") is None
        got = [shipped.observe(seen(studio, k, ALL.index(("red", "cube")), T0 + k * NS // 10)) for k in range(4)]
        acting = [d for d in got if isinstance(d, Decision) and d.state == "acting"]
        assert len(acting) >= 2, got
        rows = acting[-1].positions - ROBOT.rest[UPPER]
        moved = {side: np.abs(rows[:, [UPPER.index(i) for i in ROBOT.groups[f"{side}_arm"]]]).max()
                 for side in (hand, other)}  # fmt: skip
        assert moved[hand] > 0.4
        assert moved[other] < 0.1


@pytest.mark.parametrize("text", ["sing a song", "grab the red cube", "touch the yellow banana", "xqzt wrbl",
                                  "don't wave", "berühre den roten würfel"])  # fmt: skip
def test_language_it_does_not_know_is_refused(shipped: Remote, studio: Studio, text: str) -> None:
    assert shipped.start(text) is None
    got = shipped.observe(seen(studio, 1, 0))
    assert isinstance(got, Decision)
    assert (got.state, got.reason_code, got.finished) == ("refused", "NOT_UNDERSTOOD", True)
    assert got.confidence < 0.5
    assert got.positions.size == 0


def test_other_joints_than_the_checkpoints_are_refused(tmp_path: Path) -> None:
    loaded = load_contract("g1_small", ROBOT)
    group = loaded.terms.actions[0]
    turned = replace(loaded, terms=loaded.terms.model_copy(update={
        "actions": (group.model_copy(update={"joints": dict(reversed(group.joints.items()))}),)}))  # fmt: skip
    with pytest.raises(ContractError, match="joint_names"):
        under_contract(turned, ROBOT)


# --- contracts of policies that remember


class Recall(Wire):
    """Answers with rows of the elbow, and with what it was told one larger."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] = {}
        self.asked: list[Mapping[str, Any]] = []

    def open(self) -> None: ...

    def ask(self, request: Request) -> Mapping[str, Any]:
        self.asked.append(request.inputs)
        rows = np.full((4, 1), 0.9)
        return {"actions": rows, "memory": request.inputs["memory"] + 1.0, "confidence": 0.9, **self.reply}

    def abort(self) -> None: ...

    def close(self) -> None: ...


def remembering(tmp_path: Path, wire: Recall, **changes: object) -> Remote:
    joints = {"left_elbow_joint": {"index": 0}}
    data = {"robot": "g1", "backend": "openpi", "server": "ws://127.0.0.1:1", "step": 0.02, "horizon": 4,
            "pictures": [], "elapsed": "seconds", "memory": {"key": "memory", "size": 3},
            "state": [{"key": "state", "size": 1, "joints": joints}],
            "actions": [{"key": "actions", "size": 1, "joints": joints}], **changes}  # fmt: skip
    loaded: Loaded = contract_from_data(data, tmp_path / "remembering.yaml", ROBOT)
    backend = Remote(loaded, ROBOT, lambda: wire, "here")
    wait_for(lambda: backend.link.ready, 10.0, "the wire")
    backend.start("touch the red cube")
    return backend


def test_memory_comes_back_and_begins_anew_with_a_task(tmp_path: Path) -> None:
    wire = Recall()
    backend = remembering(tmp_path, wire)
    for k in range(3):
        assert isinstance(backend.observe(observation(T0 + k * NS // 2)), Decision)
    assert [float(a["memory"][0]) for a in wire.asked] == [0.0, 1.0, 2.0]
    assert [float(a["seconds"][0]) for a in wire.asked] == [0.0, 0.5, 1.0]
    backend.start("wave")
    backend.observe(observation(T0 + 5 * NS))
    assert (float(wire.asked[-1]["memory"][0]), float(wire.asked[-1]["seconds"][0])) == (0.0, 0.0)
    backend.close()


@pytest.mark.parametrize("memory", [np.zeros(2), np.full(3, np.nan)])
def test_a_memory_that_is_not_the_contracts_is_a_bad_reply(tmp_path: Path, memory: np.ndarray) -> None:
    wire = Recall()
    wire.reply = {"memory": memory}
    backend = remembering(tmp_path, wire)
    got = backend.observe(observation())
    assert isinstance(got, Refusal)
    assert got.code == "BAD_REPLY"
    backend.close()


def test_an_answer_that_is_worth_too_little_is_not_followed(tmp_path: Path) -> None:
    wire = Recall()
    backend = remembering(tmp_path, wire, least={"understood": 0.5, "confidence": 0.3})
    wire.reply = {"understood": 0.4}
    got = backend.observe(observation())
    assert isinstance(got, Decision)
    assert (got.state, got.reason_code) == ("refused", "NOT_UNDERSTOOD")
    for confidence in (0.2, float("nan")):
        wire.reply = {"understood": 0.9, "confidence": confidence}
        unsure = backend.observe(observation())
        assert isinstance(unsure, Refusal)
        assert unsure.code == "NOT_FOUND"
    backend.close()


def test_a_key_that_is_used_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="used by two streams"):
        remembering(tmp_path, Recall(), elapsed="memory")
