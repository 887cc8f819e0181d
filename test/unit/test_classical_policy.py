"""The classical policy in closed loop with the simulated robot: pictures in, motion out, judged by the truth."""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
import pytest

from humanoid_cli.closed_loop import ClosedLoop, Episode, LoopParams
from humanoid_core.robot import load_robot
from sim_nodes.core.plant import PlantParams
from vla_nodes.backends.classical import Classical

ROBOT = load_robot("g1")
BACKEND = Classical(ROBOT)


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Iterator[ClosedLoop]:
    seed, objects = getattr(request, "param", (7, "red cube, green cylinder, blue ball"))
    made = ClosedLoop(ROBOT, BACKEND, PlantParams(seed=seed, objects=objects), LoopParams(delay=0.1, depth_noise=0.002))
    if not made.camera.on:
        pytest.skip(made.camera.why)
    yield made
    made.close()


def assert_well(loop: ClosedLoop, episode: Episode) -> None:
    """Done by its own view and by the judge's, smoothly, on both feet, and nothing hit."""
    assert episode.succeeded, f"{episode.reason} {episode.detail}"
    assert episode.verdict is not None
    assert episode.verdict.success, episode.verdict.reason
    assert not episode.fallen
    assert episode.refused == ()
    assert episode.max_velocity < ROBOT.command_velocity.max()
    for a, b in episode.contacts:
        assert "hand" in a + b or "table" in a + b, f"{a} touched {b}"
        assert not ("hand" in a + b and "table" in a + b), "the hand touched the table"
    off = np.abs(loop.state().position - ROBOT.rest)[list(ROBOT.groups["upper_body"])]
    assert off.max() < 0.15, "the arms are back at rest"


@pytest.mark.parametrize(
    "instruction",
    [
        "touch the blue ball with your left hand",
        "please tap the red cube using the right arm",
        "reach for the green cylinder",
        "point at the red cube with your left hand",
        "show me the green cylinder with your right hand",
        "wave with your right hand",
        "raise your left hand",
    ],
)
def test_it_does_what_it_is_told(loop: ClosedLoop, instruction: str) -> None:
    assert_well(loop, loop.run(instruction))


@pytest.mark.parametrize("loop", [(11, "red ball, red cube"), (12, "red ball, red cube")], indirect=True)
def test_of_two_things_of_one_colour_the_kind_decides(loop: ClosedLoop) -> None:
    assert_well(loop, loop.run("touch the red cube"))
    vague = loop.run("touch the red one")
    assert vague.reason == "NOT_FOUND"
    assert "red ball" in vague.detail
    assert "red cube" in vague.detail


def test_what_is_not_there_is_said_and_nothing_moves(loop: ClosedLoop) -> None:
    episode = loop.run("touch the green ball")
    assert not episode.succeeded
    assert episode.reason == "NOT_FOUND"
    for name in ("red cube", "green cylinder", "blue ball"):
        assert name in episode.detail
    assert episode.commands == 0


def test_what_is_not_understood_is_refused_and_nothing_moves(loop: ClosedLoop) -> None:
    episode = loop.run("fetch me a beer")
    assert episode.reason == "NOT_UNDERSTOOD"
    assert episode.commands == 0


def test_tasks_follow_one_another(loop: ClosedLoop) -> None:
    for instruction in ("touch the blue ball", "wave with your left hand", "go back to rest"):
        assert_well(loop, loop.run(instruction))


def test_a_thing_out_of_reach_is_refused(loop: ClosedLoop) -> None:
    far = loop.plant.data.joint("blue ball free")
    far.qpos[:2] = 0.585, 0.17
    loop.plant.step(5)
    episode = loop.run("touch the blue ball with your right hand")
    assert not episode.succeeded
    assert episode.reason in ("UNREACHABLE", "NOT_FOUND")
    assert episode.commands == 0


def test_a_thing_that_is_moved_in_mid_reach_is_still_touched(loop: ClosedLoop) -> None:
    start, moved = loop.now_ns(), []
    step = loop.plant.step

    def stepping(count: int = 1) -> None:
        if not moved and loop.now_ns() - start > 2.5e9:
            moved.append(True)
            loop.plant.data.joint("red cube free").qpos[0] += 0.05
        step(count)

    loop.plant.step = stepping  # type: ignore[method-assign]
    episode = loop.run("touch the red cube")
    assert moved
    assert episode.succeeded, f"{episode.reason} {episode.detail}"
    assert episode.verdict is not None
    assert episode.verdict.success, episode.verdict.reason


def test_a_push_in_mid_reach_does_not_keep_it_from_touching(loop: ClosedLoop) -> None:
    start, pushed = loop.now_ns(), []
    step = loop.plant.step

    def stepping(count: int = 1) -> None:
        if not pushed and loop.now_ns() - start > 2.0e9:
            pushed.append(True)
            loop.plant.push(np.array([0.0, 3.0, 0.0]), 0.1, "torso_link")
        step(count)

    loop.plant.step = stepping  # type: ignore[method-assign]
    episode = loop.run("touch the green cylinder")
    assert pushed
    assert episode.verdict is not None
    assert episode.verdict.success, episode.verdict.reason
    assert not episode.fallen


def test_a_hand_in_the_way_of_the_view_is_taken_home_first(loop: ClosedLoop) -> None:
    """Cancelled over the table: the arm hides part of the thing that the next task is about."""
    loop.params = LoopParams(delay=0.1, timeout=5.0)
    assert loop.run("touch the red cube").reason == "TIMEOUT"
    loop.params = LoopParams(delay=0.1)
    BACKEND.start("wave")
    assert_well(loop, loop.run("point at the red cube"))


def test_an_interrupted_reach_goes_on_with_what_was_seen_before(loop: ClosedLoop) -> None:
    loop.params = LoopParams(delay=0.1, timeout=5.0)
    assert loop.run("touch the red cube").reason == "TIMEOUT"
    loop.params = LoopParams(delay=0.1)
    assert_well(loop, loop.run("touch the red cube"))
