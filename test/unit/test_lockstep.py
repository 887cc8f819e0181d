"""The house in lockstep: the same run for the same seed, and the faults of processes and wires do what they say."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.types import ActionChunk, EStopState, Level
from sim_nodes.core.plant import PlantParams
from vla_nodes.params import VlaParams

ROBOT = load_robot("g1")
BARE = PlantParams(objects="")


def _reaching(seed: int = 1) -> Lockstep:
    house = Lockstep(ROBOT, seed=seed, plant=BARE, policy="reach")
    house.instruct("reach")
    assert house.run(3.0, lambda: house.newest["safety/gate"].state == "passing")
    return house


def _trace(seed: int) -> str:
    said = hashlib.sha256()
    with Lockstep(ROBOT, seed=seed, plant=BARE, policy="reach") as house:
        house.listen("robot/joint_command", lambda value, now_ns: said.update(value.position.tobytes()))
        house.instruct("reach")
        house.run(2.0)
        assert house.newest["safety/gate"].passed > 50
    return said.hexdigest()


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    assert _trace(1) == _trace(1) != _trace(2)


def test_work_goes_on_at_level_safe_while_the_arms_move() -> None:
    with _reaching() as house:
        levels = set()
        house.listen("safety/status", lambda value, now_ns: levels.add(value.level))
        before = house.plant.joints()[0]
        house.run(3.0)
        assert max(levels) <= Level.CAUTION
        assert float(np.max(np.abs(house.plant.joints()[0] - before))) > 0.1


@pytest.mark.parametrize("name", ["safety", "ingest", "policy"])
def test_a_killed_process_leaves_the_arms_at_rest(name: str) -> None:
    with _reaching() as house:
        house.kill(name)
        house.run(1.0)
        assert house.newest["safety/gate"].state == "holding"
        assert float(np.max(np.abs(house.newest["robot/joint_command"].velocity))) == 0.0


def test_without_a_twin_the_chunk_under_way_is_the_last_one() -> None:
    with _reaching() as house:
        chunks: list[int] = []
        house.listen("vla/action_chunk", lambda value, now_ns: chunks.append(value.seq))
        house.kill("twin")
        assert house.run(1.0, lambda: house.newest["safety/status"].level >= Level.WARNING)
        begun = len(chunks)
        house.run(4.0)
        assert house.newest["safety/status"].level == Level.WARNING
        assert len(chunks) == begun
        assert float(np.max(np.abs(house.newest["robot/joint_command"].velocity))) == 0.0


def test_a_twin_that_is_silent_for_two_seconds_costs_time_but_not_the_task() -> None:
    with Lockstep(ROBOT, seed=3, policy="classical", vla=VlaParams()) as house:
        assert house.run(6.0, lambda: "safety/status" in house.newest
                         and house.newest["safety/status"].level == Level.SAFE)
        session = house.stage("policy").session
        number = session.instruct("touch the red cube", house.now_ns)
        house.run(3.0)
        back = house.filter("twin/state", lambda value: None)
        house.run(2.0)
        assert (house.newest["vla/status"].state, house.newest["vla/status"].reason_code) == ("waiting", "NO_PERMIT")
        assert float(np.max(np.abs(house.newest["robot/joint_command"].velocity))) == 0.0
        back()
        assert house.run(20.0, lambda: session.outcome(number) is not None)
        assert session.outcome(number).success, session.outcome(number)


def test_what_the_twin_expects_of_a_chunk_is_acted_on_before_it_happens() -> None:
    """The plan as the twin hears it runs an elbow far beyond its limit; what is commanded meanwhile is harmless."""
    elbow = "left_elbow_joint"

    def bent(chunk: ActionChunk) -> ActionChunk:
        positions = chunk.positions.copy()
        positions[:, chunk.joint_names.index(elbow)] += np.linspace(0.0, 4.0, len(positions))
        return replace(chunk, positions=positions)

    with _reaching() as house:
        chunks: list[int] = []
        house.listen("vla/action_chunk", lambda value, now_ns: chunks.append(value.seq))
        house.filter("vla/action_chunk", bent)
        expected = ("LIMIT_POSITION", f"expected: {elbow}, seconds left")
        assert house.run(2.0, lambda: expected in [
            (v.code, v.subject) for v in house.newest["safety/status"].violations])
        assert house.newest["safety/status"].level == Level.WARNING
        assert house.newest["twin/prediction"].first_violation_time > 0.2, "it was yet to come"
        begun = len(chunks)
        house.run(0.5)
        assert len(chunks) == begun, "no further chunk is begun"
        assert float(np.max(np.abs(house.newest["robot/joint_command"].velocity))) < 0.25 * ROBOT.command_velocity.max()


def test_a_frozen_process_comes_back_to_what_waited_for_it() -> None:
    with _reaching() as house:
        house.freeze("safety", 0.2)
        house.run(0.1)
        assert house.newest["safety/gate"].reason == "NO_PERMIT"
        assert house.run(5.0, lambda: house.newest["safety/gate"].state == "passing")


def test_a_filter_changes_a_wire_until_it_is_taken_off() -> None:
    with _reaching() as house:
        off = house.filter("joint_states", lambda value: None)
        house.run(0.1)
        assert house.newest["safety/status"].level >= Level.DANGER
        off()
        assert house.run(5.0, lambda: house.newest["safety/gate"].state == "passing")


def test_what_is_said_from_outside_is_heard() -> None:
    with _reaching() as house:
        house.say("safety/estop", EStopState(house.now_ns, "button", True, 1))
        house.run(0.05)
        assert house.newest["safety/status"].estop_latched
    with pytest.raises(ValueError, match="no stage 'gates'"):
        house.kill("gates")


def test_a_fall_leaves_the_twin_with_numbers_that_a_body_can_have() -> None:
    """Hard blows throw most samples out of the filter's gate; the model alone, left to itself, runs away."""
    robot = load_robot("g1")
    with Lockstep(robot, seed=2, policy="reach") as house:
        house.run(3.0)
        house.plant.push(np.array([0.0, 25.0, 0.0]), 0.1, "torso_link")
        fastest: list[float] = []
        house.listen("twin/state", lambda t, _: fastest.append(float(np.max(np.abs(t.velocity) / robot.velocity))))
        house.run(3.0)
        assert house.truth.fallen()
    assert max(fastest) <= 3.0
