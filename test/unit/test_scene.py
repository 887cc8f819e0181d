"""The table and its things: seeded, apart, within reach of both hands, in the head camera's picture."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import rpy_matrix
from humanoid_core.robot import load_robot
from sim_nodes.core.camera import Camera
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.scene import SceneError, parse_objects, plan_scene
from sim_nodes.core.truth import Truth

ROBOT = load_robot("g1")
BASE = np.array([0.0, 0.0, 0.752])


def reach_error(kinematics: Kinematics, side: str, target: np.ndarray) -> float:
    """Smallest distance that damped least squares over the arm alone gets the hand to ``target``."""
    index = list(ROBOT.groups[f"{side}_arm"])
    hand, q, best = ROBOT.hands[side], ROBOT.rest.copy(), math.inf
    for _ in range(80):
        kinematics.update(q, BASE)
        error = target - kinematics.hand(side)[0]
        best = min(best, float(np.linalg.norm(error)))
        if best < 0.004:
            break
        jacobian = kinematics.jacobian(hand.link, hand.point)[:, index]
        dq = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-3 * np.eye(3), error)
        dq *= min(1.0, 0.3 / np.abs(dq).max())
        q[index] = np.clip(q[index] + dq, ROBOT.lower[index] + 0.05, ROBOT.upper[index] - 0.05)
    return best


def test_things_are_apart_reachable_and_in_the_picture() -> None:
    kinematics = Kinematics(ROBOT)
    camera = ROBOT.camera
    kinematics.update(ROBOT.rest, BASE)
    eye = kinematics.position(camera.link, camera.xyz)
    view = kinematics.rotation(camera.link) @ rpy_matrix(camera.rpy)
    for seed in range(12):
        things = plan_scene(seed=seed).things
        for a, b in itertools.combinations(things, 2):
            assert math.dist(a.position[:2], b.position[:2]) > 0.085
        for thing in things:
            target = np.array(thing.position)
            for side in ("left", "right"):
                assert reach_error(kinematics, side, target) < 0.01, (seed, thing.name, side)
            x, y, z = view.T @ (target - eye)
            u, v, _ = camera.k @ np.array([-y / x, -z / x, 1.0])
            margin = 0.045 * camera.focal / x
            assert margin < u < camera.width - margin
            assert margin < v < camera.height - margin


def test_the_seed_decides_the_places() -> None:
    assert plan_scene(seed=5) == plan_scene(seed=5)
    assert plan_scene(seed=5) != plan_scene(seed=6)
    orders = {tuple(sorted(plan_scene(seed=s).things, key=lambda t: t.position[1])).__repr__() for s in range(20)}
    assert len(orders) == 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("redd cube", "did you mean 'red'"),
        ("red cub", "did you mean 'cube'"),
        ("cube", "colour"),
        ("red cube, red cube", "twice"),
        ("red cube, red ball, blue ball, blue cube, green ball", "at most 4"),
    ],
)
def test_a_wrong_word_is_named(text: str, says: str) -> None:
    with pytest.raises(SceneError, match=says):
        parse_objects(text)


def test_any_mix_of_colours_and_kinds_and_an_empty_room() -> None:
    assert parse_objects("Blue Cube,green ball , ") == (("blue", "cube"), ("green", "ball"))
    plant = Plant(ROBOT, PlantParams(objects="blue cube, green ball, red cylinder, blue ball", settle=False))
    assert [o.name for o in Truth(plant).read().objects] == [
        "blue cube",
        "green ball",
        "red cylinder",
        "blue ball",
    ]
    assert Truth(Plant(ROBOT, PlantParams(objects="", settle=False))).read().objects == ()


def test_things_stay_where_they_stand() -> None:
    plant = Plant(ROBOT, PlantParams(seed=2))
    before = [o.position for o in Truth(plant).read().objects]
    plant.step(2000)
    for a, b in zip(before, (o.position for o in Truth(plant).read().objects), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_a_light_touch_moves_nothing_off_the_table() -> None:
    plant = Plant(ROBOT, PlantParams(seed=2))
    for thing in plant.scene.things:
        plant.push(np.array([0.03, 0.03, 0.0]), 0.1, thing.name)
    plant.step(1600)
    for thing, now in zip(plant.scene.things, Truth(plant).read().objects, strict=True):
        assert now.position[2] == pytest.approx(thing.position[2], abs=0.01), thing.name
        assert math.dist(now.position[:2], thing.position[:2]) < 0.06, thing.name


def test_the_head_camera_sees_each_thing_in_its_colour_at_its_depth() -> None:
    plant = Plant(ROBOT, PlantParams(seed=4))
    spec = ROBOT.camera
    camera = Camera(plant.model, spec.name, spec.width, spec.height, spec.near, spec.far)
    if not camera.on:
        pytest.skip(camera.why)
    picture = camera.picture(plant.data)
    camera.close()
    assert picture.rgb.shape == (240, 320, 3)
    assert picture.depth.dtype == np.float32
    frame = plant.data.camera(spec.name)
    for thing in plant.scene.things:
        position = plant.data.body(thing.name).xpos
        right, up, back = frame.xmat.reshape(3, 3).T @ (position - frame.xpos)
        u, v, _ = spec.k @ np.array([right / -back, up / back, 1.0])
        pixel = picture.rgb[round(v), round(u)].astype(int)
        channel = ("red", "green", "blue").index(thing.colour)
        assert pixel[channel] > 1.5 * np.delete(pixel, channel).max(), thing.name
        # the surface lies before the centre by about the thing's radius
        assert 0.015 < -back - picture.depth[round(v), round(u)] < 0.05, thing.name


def test_without_gl_the_camera_is_off_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant(ROBOT, PlantParams(settle=False))

    def broken(*_: object) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(Camera, "_open", broken)
    camera = Camera(plant.model, "head", 320, 240)
    assert not camera.on
    assert "no display" in camera.why
    assert "apt-get install libegl1" in camera.why
    with pytest.raises(RuntimeError, match="no display"):
        camera.picture(plant.data)
    camera.close()


def test_an_unknown_camera_is_named() -> None:
    plant = Plant(ROBOT, PlantParams(settle=False))
    assert "no camera 'tail'" in Camera(plant.model, "tail", 32, 24).why
