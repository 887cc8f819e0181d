"""Policy contracts: what is refused, by which name, and what the numbers become."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.policy_world import POLICIES, ROBOT, T0, observation, state

from humanoid_core.timing import MS, NS
from humanoid_core.types import ImageSample
from vla_nodes.core.contract import ContractError, Loaded, contract_from_data, gather_params, load_contract
from vla_nodes.core.gather import Gather, GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.mapping import Mapping

ELBOW, WRIST = "left_elbow_joint", "left_wrist_roll_joint"


def small(**changes: Any) -> dict[str, Any]:
    """Two joints, one picture; three rows."""
    data: dict[str, Any] = {
        "robot": "g1", "backend": "openpi", "step": 0.02, "horizon": 3,
        "pictures": [{"key": "image", "size": [120, 120]}],
        "state": [{"key": "state", "size": 3, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 2}},
                   "constants": {1: 0.5}}],
        "actions": [{"key": "actions", "size": 2, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 1}}}],
    }
    data.update(changes)
    return data


def made(tmp_path: Path, **changes: Any) -> Loaded:
    return contract_from_data(small(**changes), tmp_path / "p.yaml", ROBOT)


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.yaml")), ids=lambda p: p.stem)
def test_what_is_shipped_fits_the_robot(file: Path) -> None:
    loaded = load_contract(file.stem, ROBOT)
    assert loaded.joints
    assert set(loaded.joints) <= {ROBOT.joint_names[i] for i in ROBOT.groups["upper_body"]}


def _joint(name: str, **entry: Any) -> list[dict[str, Any]]:
    return [{"key": "actions", "size": 1, "joints": {name: {"index": 0, **entry}}}]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"horizn": 3}, "nearest valid key: 'horizon'"),
    "no horizon": ({"horizon": None}, "horizon"),
    "another robot": ({"robot": "h1"}, "describes 'g1'"),
    "unknown joint": ({"actions": _joint("left_elbw_joint")}, "nearest joint: 'left_elbow_joint'"),
    "a leg": ({"actions": _joint("left_knee_joint")}, "not in group 'upper_body'"),
    "a hole": ({"state": [{"key": "state", "size": 2, "joints": {ELBOW: {"index": 0}}}]}, "missing: [1]"),
    "twice": ({"state": [{"key": "state", "size": 1, "joints": {ELBOW: {"index": 0}, WRIST: {"index": 0}}}]}, "twice"),
    "beyond": ({"actions": [{"key": "a", "size": 1, "joints": {ELBOW: {"index": 1}}}]}, "beyond size: [1]"),
    "units": ({"actions": _joint(ELBOW, unit="degrees")}, "'rad' or 'deg'"),
    "sign": ({"actions": _joint(ELBOW, sign=2)}, "1 or -1"),
    "deadline": ({"deadline": 3.0}, "0.9"),
    "two keys": ({"instruction": "image"}, "used by two streams"),
    "a foreign block": ({"gr00t": {}}, "backend is 'openpi'"),
    "lerobot without": ({"backend": "lerobot"}, "policy_type"),
    "hf without": ({"backend": "hf"}, "checkpoint"),
    "no statistics": ({"actions": [{**_joint(ELBOW)[0], "normalise": {"kind": "mean_std", "at": "a"}}]}, "statistics"),
    "history": ({"pictures": [{"key": "i", "size": [9, 9], "history": {"samples": 2, "spacing": 0.3}}]}, "never give"),
    "two offsets": ({"pictures": [{"key": "a", "size": [9, 9]}, {"key": "b", "size": [9, 9], "offset": 0.1}]},
                    "not also"),
    "not a number": ({"step": float("nan")}, "step"),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, what: str) -> None:
    changes, word = WRONG[what]
    with pytest.raises(ContractError) as error:
        made(tmp_path, **changes)
    assert word in str(error.value)
    assert str(tmp_path / "p.yaml") in str(error.value)


def test_a_name_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(ContractError, match="g1_openpi"):
        load_contract("g1_openpie", ROBOT)


def test_inputs_have_the_places_signs_units_and_constants_of_the_contract(tmp_path: Path) -> None:
    group = {"key": "state", "size": 3, "joints": {ELBOW: {"index": 2, "sign": -1, "unit": "deg"}, WRIST: {"index": 0}},
             "constants": {1: 0.25}}  # fmt: skip
    mapping = Mapping(made(tmp_path, state=[group]), ROBOT)
    q = ROBOT.rest.copy()
    q[ROBOT.index(ELBOW)], q[ROBOT.index(WRIST)] = 0.5, -0.3
    inputs = mapping.inputs(observation(position=q))
    assert not isinstance(inputs, Refusal)
    assert inputs["state"] == pytest.approx([-0.3, 0.25, -np.degrees(0.5)])
    image = inputs["image"]
    assert (image.shape, image.dtype) == ((120, 120, 3), np.uint8)
    assert np.all(image[:14] == 0)
    assert np.all(image[16, :5] == 255), "4:3 in a square: bars above and below, the corner where it was"


def test_modes_absolute_relative_and_step(tmp_path: Path) -> None:
    q = ROBOT.rest.copy()
    q[ROBOT.index(ELBOW)], q[ROBOT.index(WRIST)] = 0.5, -0.3
    for mode, want in (("absolute", [0.1, 0.1, 0.1]), ("relative", [0.6, 0.6, 0.6]), ("step", [0.6, 0.7, 0.8])):
        joints = {ELBOW: {"index": 1, "mode": mode}, WRIST: {"index": 0, "sign": -1}}
        group = {"key": "actions", "size": 3, "joints": joints, "ignore": [2]}
        mapping = Mapping(made(tmp_path, actions=[group]), ROBOT)
        rows = mapping.positions({"actions": [[0.2, 0.1, 9.0]] * 3}, observation(position=q))
        assert not isinstance(rows, Refusal)
        assert rows[:, 0] == pytest.approx(want)
        assert rows[:, 1] == pytest.approx([-0.2] * 3)


def test_a_policy_of_one_row_gives_two(tmp_path: Path) -> None:
    rows = Mapping(made(tmp_path, horizon=1), ROBOT).positions({"actions": [[0.2, 0.1]]}, observation())
    assert np.array_equal(rows, [[0.2, 0.1]] * 2)


@pytest.mark.parametrize(("reply", "word"), [
    ({}, "no 'actions'"), ({"actions": np.zeros((3, 3))}, "shape (3, 3), the contract says (3, 2)"),
    ({"actions": np.full((3, 2), np.inf)}, "is inf"), ({"actions": "error"}, "no array"),
    ({"actions": [[1, 2], [3]]}, "no array"), ({"actions": None}, "shape"),
])  # fmt: skip
def test_an_answer_of_another_kind_is_refused_whole(tmp_path: Path, reply: dict[str, Any], word: str) -> None:
    got = Mapping(made(tmp_path), ROBOT).positions(reply, observation())
    assert isinstance(got, Refusal)
    assert got.code == "BAD_REPLY"
    assert word in got.detail


def test_too_old_gives_a_reason_and_no_input(tmp_path: Path) -> None:
    mapping = Mapping(made(tmp_path, pictures=[{"key": "image", "size": [9, 9], "max_age": 0.15}]), ROBOT)
    assert not isinstance(mapping.inputs(observation(age_ns=90 * MS)), Refusal)
    got = mapping.inputs(observation(T0 + NS, age_ns=200 * MS))
    assert isinstance(got, Refusal)
    assert (got.code, "max_age 0.15" in got.detail) == ("NO_PICTURE", True)


def test_a_state_with_a_hole_is_not_told(tmp_path: Path) -> None:
    group = {"key": "v", "field": "velocity", "size": 1, "joints": {ELBOW: {"index": 0}}}
    o = observation()
    o.state.velocity[ROBOT.index(ELBOW)] = np.nan
    got = Mapping(made(tmp_path, state=[group]), ROBOT).inputs(o)
    assert isinstance(got, Refusal)
    assert got.code == "NO_STATE"


def test_history_waits_until_there_is_one(tmp_path: Path) -> None:
    history = {"samples": 3, "spacing": 0.2}
    mapping = Mapping(made(tmp_path, pictures=[{"key": "image", "size": [9, 9], "history": history}]), ROBOT)
    seen = [mapping.inputs(observation(T0 + k * 200 * MS)) for k in range(4)]
    assert [isinstance(s, Refusal) for s in seen] == [True, True, False, False]
    assert not isinstance(seen[3], Refusal)
    assert seen[3]["image"].shape == (3, 9, 9, 3)
    assert seen[3]["state"].shape == (3,)
    mapping.forget()
    assert isinstance(mapping.inputs(observation(T0 + NS)), Refusal)


@pytest.fixture
def statistics(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def write(**block: Any) -> dict[str, Any]:
        numbers = {"q01": [-1.0, 0.0], "q99": [1.0, 2.0], "mean": [0.1, 0.2], "std": [0.5, 2.0], **block}
        blob = json.dumps({"norm": {"actions": numbers}}).encode()
        (tmp_path / "s.json").write_bytes(blob)
        return {"file": "s.json", "sha256": hashlib.sha256(blob).hexdigest()}

    return write


def _scaled(kind: str, at: str = "norm.actions") -> list[dict[str, Any]]:
    return [{**small()["actions"][0], "normalise": {"kind": kind, "at": at}}]


def test_statistics_scale_the_answer(tmp_path: Path, statistics: Callable[..., dict[str, Any]]) -> None:
    for kind, block, want in (("quantile", {}, [0.5, 1.5]), ("mean_std", {}, [0.35, 1.2]),
                              ("quantile", {"mask": [True, False]}, [0.5, 0.5])):
        loaded = made(tmp_path, statistics=statistics(**block), actions=_scaled(kind))
        rows = Mapping(loaded, ROBOT).positions({"actions": np.full((3, 2), 0.5)}, observation())
        assert not isinstance(rows, Refusal)
        assert rows[0] == pytest.approx(want)


def test_statistics_that_are_not_the_ones_meant(tmp_path: Path, statistics: Callable[..., dict[str, Any]]) -> None:
    named = statistics()
    with pytest.raises(ContractError, match=r"s\.json says"):
        made(tmp_path, statistics={**named, "sha256": "0" * 64}, actions=_scaled("quantile"))
    with pytest.raises(ContractError, match="no 'action' in the statistics file, which has actions"):
        made(tmp_path, statistics=named, actions=_scaled("quantile", "norm.action"))
    for bad in ({"q01": [0.0]}, {"q01": [0.0, None]}, {"q01": [1.0, 0.0]}):
        with pytest.raises(ContractError):
            made(tmp_path, statistics=statistics(**bad), actions=_scaled("quantile"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["rad", "deg"]), st.sampled_from([1, -1]))
def test_what_goes_out_comes_back(tmp_path_factory: pytest.TempPathFactory, seed: int, unit: str, sign: int) -> None:
    """A policy that answers with the state it was told leaves every joint where it is."""
    rng = np.random.default_rng(seed)
    entry = {"sign": sign, "unit": unit}
    places = rng.permutation(2)
    joints = {name: {"index": int(i), **entry} for name, i in zip((ELBOW, WRIST), places, strict=True)}
    loaded = made(tmp_path_factory.getbasetemp(), state=[{"key": "state", "size": 2, "joints": joints}],
                  actions=[{"key": "actions", "size": 2, "joints": joints}])  # fmt: skip
    mapping = Mapping(loaded, ROBOT)
    q = rng.uniform(ROBOT.lower, ROBOT.upper)
    o = observation(position=q)
    inputs = mapping.inputs(o)
    assert not isinstance(inputs, Refusal)
    rows = mapping.positions({"actions": np.repeat(inputs["state"][None, :], 3, axis=0)}, o)
    assert np.allclose(rows, q[[ROBOT.index(ELBOW), ROBOT.index(WRIST)]], atol=1e-5)


def test_the_prefix_is_what_is_left_of_the_chunk_that_is_followed(tmp_path: Path) -> None:
    mapping = Mapping(made(tmp_path, horizon=10), ROBOT)
    assert mapping.prefix(observation(T0)) is None
    answer = np.arange(20.0).reshape(10, 2) / 20
    mapping.positions({"actions": answer}, observation(T0))
    got = mapping.prefix(observation(T0 + 60 * MS, following_ns=T0, lead=0.05))
    assert got is not None
    rows, delay = got
    assert np.array_equal(rows["actions"], answer[3:])
    assert delay == 3
    assert mapping.prefix(observation(T0 + 60 * MS, following_ns=T0 - NS)) is None, "that chunk was dropped"
    assert mapping.prefix(observation(T0 + NS, following_ns=T0)) is None, "nothing is left of it"


def test_streams_set_the_limits_of_what_is_gathered(tmp_path: Path) -> None:
    loaded = made(tmp_path, pictures=[{"key": "image", "size": [9, 9], "max_age": 0.2, "offset": 0.05}])
    params = gather_params(loaded, GatherParams())
    assert params == GatherParams(0.2, 0.1, 0.02, depth=False, picture_offset=0.05)
    gather = Gather(ROBOT.n, params)
    gather.add_image(ImageSample(T0 + 50 * MS, "rgb8", np.zeros((4, 4, 3), np.uint8)))
    gather.add_state(state(T0))
    seen = gather.observe(T0 + 60 * MS, np.zeros(0))
    assert not isinstance(seen, Refusal)
    assert (seen.image_ns, seen.stamp_ns) == (T0, T0), "neither depth nor intrinsics are needed, and the offset counts"
    gather.add_image(ImageSample(T0 + 250 * MS, "rgb8", np.zeros((4, 4, 3), np.uint8)))
    gather.add_state(state(T0 + 400 * MS))
    late = gather.observe(T0 + 420 * MS, np.zeros(0))
    assert isinstance(late, Refusal)
    assert late.code == "NO_PICTURE"


def test_a_contract_from_disk_is_the_one_of_its_data(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(small()))
    assert load_contract(str(path), ROBOT).terms == made(tmp_path).terms
    path.write_text("robot: g1\nrobot: h1\n")
    with pytest.raises(ContractError, match="twice"):
        load_contract(str(path), ROBOT)
