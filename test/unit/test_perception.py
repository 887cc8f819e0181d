"""What the head camera sees: coloured things on the table, where they are and what they are."""

from __future__ import annotations

import os

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import ImageSample, RobotState
from sim_nodes.core.camera import Camera
from sim_nodes.core.plant import Plant, PlantParams
from vla_nodes.core.body import Body, Frame
from vla_nodes.core.gather import Gather
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.perception import Sighting, View, choose, see
from vla_nodes.core.policy import Observation

ROBOT = load_robot("g1")
BODY = Body(ROBOT)
assert ROBOT.camera is not None
K = ROBOT.camera.k
CAMERA = Frame(np.array([[0.0, -0.7, 0.7], [-1.0, 0.0, 0.0], [0.0, -0.7, -0.7]]), np.array([0.0, 0.0, 1.2]))


def picture(plant: Plant) -> tuple[np.ndarray, np.ndarray]:
    camera = Camera(plant.model, "head", 320, 240, 0.1, 5.0)
    if not camera.on:
        pytest.skip(camera.why)
    shot = camera.picture(plant.data)
    camera.close()
    return shot.rgb, shot.depth


def in_stance(plant: Plant, point: np.ndarray) -> np.ndarray:
    """A point of the world in the stance frame, by the simulator's own base pose."""
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, plant.data.qpos[3:7])
    q = plant.data.qpos[plant._qadr]
    return BODY.stance(q).into(turn.reshape(3, 3).T @ (point - plant.data.qpos[:3]))


@pytest.mark.parametrize("noise", [0.0, 0.003])
@pytest.mark.parametrize(
    ("seed", "objects"),
    [
        (0, "red cube, green cylinder, blue ball"),
        (1, "blue cube, red cylinder, green ball"),
        (2, "green cube, blue cylinder, red ball"),
        (3, "red ball, red cube"),
    ],
)
def test_places_and_kinds_match_the_scene(seed: int, objects: str, noise: float) -> None:
    plant = Plant(ROBOT, PlantParams(seed=seed, objects=objects))
    rgb, depth = picture(plant)
    depth = depth + (np.random.default_rng(seed).normal(0, noise, depth.shape) * (depth > 0)).astype(np.float32)
    view = see(rgb, depth, K, BODY.camera_in_stance(plant.data.qpos[plant._qadr]))
    assert sorted(s.name for s in view.things) == sorted(t.name for t in plant.scene.things)
    for thing in plant.scene.things:
        seen = next(s for s in view.things if s.name == thing.name)
        centre = in_stance(plant, plant.data.body(thing.name).xpos)
        assert np.linalg.norm(seen.centre - centre) < 0.006
        assert np.linalg.norm(seen.top - centre - [0.0, 0.0, thing.half_height]) < 0.007
        assert seen.radius == pytest.approx(0.027, abs=0.006)
    assert view.table == pytest.approx(0.78, abs=0.005)
    assert 0.2 < view.edge < 0.35


def test_an_empty_table_shows_nothing() -> None:
    plant = Plant(ROBOT, PlantParams(objects="red cube"))
    rgb, depth = picture(plant)
    grey = np.full_like(rgb, 128)
    view = see(grey, depth, K, BODY.camera_in_stance(plant.data.qpos[plant._qadr]))
    assert view.things == ()


def synthetic(colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A grey table 0.5 m under a camera that looks 45 degrees down, with a coloured patch 4 cm above it."""
    v, u = np.mgrid[0:240, 0:320]
    rays = np.stack(((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u, dtype=float)), axis=-1)
    down = -(rays @ CAMERA.rotation.T)[..., 2]
    depth = (0.5 / down).astype(np.float32)
    rgb = np.full((240, 320, 3), 180, np.uint8)
    rgb[100:130, 150:185] = colour
    depth[100:130, 150:185] = (0.46 / down[100:130, 150:185]).astype(np.float32)
    return rgb, depth


def test_without_depth_there_is_no_place_and_so_no_thing() -> None:
    rgb, depth = synthetic((200, 20, 20))
    assert [s.colour for s in see(rgb, depth, K, CAMERA).things] == ["red"]
    depth[95:135, 145:190] = np.nan
    assert see(rgb, depth, K, CAMERA).things == ()
    depth[:] = 0.0
    view = see(rgb, depth, K, CAMERA)
    assert view.things == ()
    assert np.isnan(view.table)


def test_colours_that_nobody_asked_for_are_not_taken_for_others() -> None:
    for colour in ((220, 200, 30), (128, 128, 128), (30, 20, 20)):
        rgb, depth = synthetic(colour)
        assert see(rgb, depth, K, CAMERA).things == ()


def test_picture_and_depth_of_different_size_are_an_error() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        see(np.zeros((240, 320, 3), np.uint8), np.zeros((120, 160), np.float32), K, CAMERA)


def sighting(colour: str, kind: str, sure: float = 1.0) -> Sighting:
    return Sighting(colour, kind, sure, np.zeros(3), np.zeros(3), 0.03, 500, False)


def test_choosing_what_is_meant() -> None:
    view = View((sighting("red", "cube"), sighting("red", "ball"), sighting("blue", "cylinder", 0.2)), 0.7, 0.2)
    found, _ = choose(view, "red", "ball")
    assert found is view.things[1]
    assert choose(view, "", "ball")[0] is view.things[1]
    assert choose(view, "blue", "")[0] is view.things[2]
    assert choose(view, "blue", "cube")[0] is view.things[2], "a doubtful outline does not contradict"
    none, why = choose(view, "red", "")
    assert none is None
    assert "red cube, red ball" in why
    none, why = choose(view, "green", "cube")
    assert none is None
    assert "no green cube in view; in view: red cube, red ball, blue cylinder" in why
    sure = View((sighting("blue", "cylinder"),), 0.7, 0.2)
    assert choose(sure, "blue", "cube")[0] is None, "a clear cylinder is no cube"


# --- gathering ----------------------------------------------------------------------------------------------

T = 100 * NS


def state(stamp_ns: int) -> RobotState:
    n, z = ROBOT.n, np.zeros(3)
    return RobotState(stamp_ns, 1, ROBOT.rest.copy(), np.zeros(n), np.zeros(n), np.zeros(n), np.array([1.0, 0, 0, 0]),
                      z, z, np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip


def image(stamp_ns: int, encoding: str = "rgb8") -> ImageSample:
    data = {"rgb8": np.zeros((4, 6, 3), np.uint8), "bgr8": np.full((4, 6, 3), (1, 2, 3), np.uint8),
            "32FC1": np.ones((4, 6), np.float32), "16UC1": np.full((4, 6), 1500, np.uint16)}[encoding]  # fmt: skip
    return ImageSample(stamp_ns, encoding, data)


def gather(
    *, image_ns: int = T, depth_ns: int = T, state_ns: int = T, depth: str = "32FC1", rgb: str = "rgb8"
) -> Gather:
    g = Gather(ROBOT.n)
    g.set_intrinsics(K)
    g.add_image(image(image_ns, rgb))
    g.add_depth(image(depth_ns, depth))
    for k in range(-10, 11):
        g.add_state(state(state_ns + 5 * k * MS))
    return g


def test_an_observation_belongs_together_and_is_stamped_by_its_oldest_part() -> None:
    g = gather(state_ns=T + 2 * MS, depth_ns=T + MS)
    seen = g.observe(T + 80 * MS, np.zeros(0))
    assert isinstance(seen, Observation)
    assert seen.stamp_ns == T
    assert abs(seen.state.stamp_ns - T) <= 3 * MS
    assert seen.latest.stamp_ns == T + 52 * MS
    again = g.observe(T + 90 * MS, np.zeros(0))
    assert isinstance(again, Refusal)
    assert again.code == "STALE", "one picture is looked at once"


@pytest.mark.parametrize(
    ("g", "code", "word"),
    [
        (Gather(ROBOT.n), "NO_STATE", "not been heard"),
        (gather(state_ns=T - NS), "NO_STATE", "old"),
        (gather(image_ns=T - NS, depth_ns=T - NS), "NO_PICTURE", "old"),
        (gather(depth_ns=T - 50 * MS), "NO_PICTURE", "no depth image"),
        (gather(depth="rgb8"), "NO_PICTURE", "do not fit"),
        (gather(rgb="32FC1"), "NO_PICTURE", "do not fit"),
    ],
)
def test_what_is_missing_is_named(g: Gather, code: str, word: str) -> None:
    got = g.observe(T + 60 * MS, np.zeros(0))
    assert isinstance(got, Refusal)
    assert got.code == code
    assert word in got.detail


def test_drivers_that_speak_bgr_and_millimetres_are_understood() -> None:
    seen = gather(depth="16UC1", rgb="bgr8").observe(T + 60 * MS, np.zeros(0))
    assert isinstance(seen, Observation)
    assert seen.depth[0, 0] == pytest.approx(1.5)
    assert tuple(seen.image[0, 0]) == (3, 2, 1)


def test_bad_intrinsics_are_refused() -> None:
    g = gather()
    g.set_intrinsics(np.zeros((3, 3)))
    got = g.observe(T + 60 * MS, np.zeros(0))
    assert isinstance(got, Refusal)
    assert "camera_info" in got.detail
