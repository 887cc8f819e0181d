"""Looking ahead: what is announced of a chunk and when, and how earlier predictions are scored."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_core.environment import Obstacle
from humanoid_core.kinematics import Kinematics
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import ActionChunk
from twin_nodes.core.follow import follow
from twin_nodes.core.prediction import Predictor
from twin_nodes.core.preview import Preview, chunk_problem
from twin_nodes.core.scoring import Scoring
from twin_nodes.core.shedding import LATE_NS, Shedding
from twin_nodes.core.start import TICK_NS, SetPoint, Start

ROBOT = load_robot("g1")
N = ROBOT.n
STAMP = 1_000_000_000_000
ELBOW = ROBOT.index("left_elbow_joint")
PREVIEW_MARGIN = 0.001
PREVIEW = Preview(ROBOT, 0.05, self_margin=PREVIEW_MARGIN)


def chunk(rows: np.ndarray, names: tuple[str, ...] = ("left_elbow_joint",), dt: float = 0.05,
          **values: Any) -> ActionChunk:
    return replace(ActionChunk(STAMP, 1, 1, "test", "", names, dt, rows, 1.0), **values)


def ramp(to: float, steps: int = 10) -> np.ndarray:
    return np.linspace(ROBOT.stand[ELBOW], to, steps + 1)[1:, None]


def standing(q: np.ndarray | None = None, **values: Any) -> Start:
    """At rest, with all joints of the upper body commanded to stay where they are."""
    q = ROBOT.stand if q is None else q
    driven = np.zeros(N, dtype=bool)
    driven[list(ROBOT.groups["upper_body"])] = True
    point = SetPoint(STAMP, np.where(driven, q, np.nan), np.zeros(N))
    return replace(Start.at_rest(ROBOT, STAMP, q), driven=driven, setpoints=(point,), **values)


def near_the_limit() -> np.ndarray:
    q = ROBOT.stand.copy()
    q[ELBOW] = ROBOT.upper[ELBOW] - 0.3
    return q


def test_a_limit_that_a_chunk_leads_beyond_is_announced_with_its_time() -> None:
    q, speed = near_the_limit(), 1.0
    rows = q[ELBOW] + speed * 0.05 * np.arange(1, 11)[:, None]
    look = PREVIEW.look(standing(q), chunk(rows), 0.5)
    assert look.code == "LIMIT_POSITION"
    assert look.subject == "left_elbow_joint"
    # 0.3 rad away at 1 rad/s; the set-point needs 1 / 12 s to get to that speed, and makes up for it
    assert look.code_time == pytest.approx(0.3 / speed, abs=0.05)
    assert look.joint_margin < -0.1
    others = np.delete(look.trajectory, ELBOW, axis=1)
    assert np.abs(others - np.delete(q, ELBOW)).max() < 0.02


def test_a_calm_chunk_violates_nothing() -> None:
    look = PREVIEW.look(standing(), chunk(ramp(0.8)), 0.5)
    assert (look.code, look.subject) == ("", "")
    assert math.isnan(look.code_time)
    assert look.joint_margin > 0.1
    assert look.support_margin > 0.02
    assert math.isnan(look.environment_distance)


def test_the_joint_follows_the_chunk() -> None:
    look = PREVIEW.look(standing(), chunk(ramp(ROBOT.stand[ELBOW] + 0.3)), 1.0)
    assert np.array_equal(look.trajectory[0], ROBOT.stand)
    assert look.trajectory[-1, ELBOW] == pytest.approx(ROBOT.stand[ELBOW] + 0.3, abs=0.02)


def test_rows_that_no_motor_can_follow_break_the_rate_limit() -> None:
    rows = np.array([[0.5], [-0.9], [0.5]])
    look = PREVIEW.look(standing(), chunk(rows, dt=0.02), 0.5)
    assert look.code == "LIMIT_RATE"
    assert look.code_time <= 0.06


INTO_THE_BODY = ("left_shoulder_roll_joint", "left_shoulder_yaw_joint", "left_elbow_joint")


def into_the_body() -> ActionChunk:
    here = np.array([ROBOT.stand[ROBOT.index(n)] for n in INTO_THE_BODY])
    rows = here + np.linspace(0.05, 1.0, 20)[:, None] * (np.array([-0.5, -1.2, 0.2]) - here)
    return chunk(rows, INTO_THE_BODY)


def test_an_arm_into_the_body_is_announced_before_it_touches() -> None:
    look = PREVIEW.look(standing(), into_the_body(), 1.0)
    assert look.self_distance < 0.0
    assert look.code == "SELF_COLLISION"
    assert 0.1 < look.code_time < 1.0
    assert "left_" in look.subject
    # Until then it is free, and what is announced is where the links meet.
    before = PREVIEW.look(standing(), into_the_body(), look.code_time - 0.06)
    assert before.code == ""


def test_a_hand_that_leaves_what_it_is_too_near_to_is_let_go() -> None:
    look = PREVIEW.look(standing(), into_the_body(), 1.0)
    k = int(look.code_time / 0.01) + 3
    touching = look.trajectory[k]
    held = PREVIEW.look(standing(touching), None, 0.5)
    assert held.self_distance < PREVIEW_MARGIN
    assert held.code == ""
    way_back = look.trajectory[k - 5::-5][:, [ROBOT.index(n) for n in INTO_THE_BODY]]
    assert PREVIEW.look(standing(touching), chunk(way_back, INTO_THE_BODY), 0.5).code == ""


def test_a_table_ahead_of_the_hand_is_announced() -> None:
    k, spec = Kinematics(ROBOT), ROBOT.hands["left"]
    k.update(ROBOT.stand, *PREVIEW.distances.stand_on_soles(ROBOT.stand))
    hand = k.position(spec.link, spec.point)
    # An upright board ahead of the hand; raising the forearm brings the hand forward.
    at = (float(hand[0]) + 0.14, float(hand[1]), float(hand[2]) + 0.15)
    board = Obstacle("board", "box", at, (0.0, 0.0, 0.0), (0.01, 0.15, 0.3), None, None, 0.01, 0.0)
    preview = Preview(ROBOT, 0.05, (board,))
    calm = preview.look(standing(), None, 0.5)
    assert calm.code == ""
    assert calm.environment_distance > 0.0
    up = preview.look(standing(), chunk(ramp(0.0), dt=0.1), 1.0)
    assert up.code == "ENVIRONMENT"
    assert "board" in up.subject
    assert up.environment_distance < 0.01


def test_a_base_that_is_pushed_over_is_a_loss_of_support() -> None:
    still = PREVIEW.look(standing(), None, 0.5)
    pushed = PREVIEW.look(standing(linear=np.array([0.8, 0.0, 0.0])), None, 0.5)
    assert still.code == ""
    assert pushed.code == "SUPPORT"
    assert pushed.support_margin < 0.0 < still.support_margin


def test_one_standing_foot_carries_less_far() -> None:
    both, one = (PREVIEW.look(standing(feet=f), None, 0.1).support_margin for f in ((True, True), (True, False)))
    assert one < 0.0 < both


def test_without_a_chunk_a_moving_set_point_comes_to_rest() -> None:
    v = np.zeros(N)
    v[ELBOW] = 1.0
    start = standing()
    moving = replace(start, v=v, setpoints=(replace(start.setpoints[0], velocity=v),))
    look = PREVIEW.look(moving, None, 0.5)
    # v^2 / (2 a) at the command acceleration
    way = 1.0 / (2.0 * ROBOT.command_acceleration[ELBOW])
    assert look.trajectory[-1, ELBOW] - ROBOT.stand[ELBOW] == pytest.approx(way, abs=0.02)
    assert abs(look.trajectory[-1, ELBOW] - look.trajectory[-5, ELBOW]) < 1e-3


def test_a_lower_scale_moves_less() -> None:
    far = chunk(ramp(ROBOT.stand[ELBOW] + 0.6))
    full, half = (PREVIEW.look(standing(), far, 0.3, scale).trajectory[-1, ELBOW] for scale in (1.0, 0.25))
    assert half - ROBOT.stand[ELBOW] < 0.7 * (full - ROBOT.stand[ELBOW])


@settings(max_examples=40, deadline=None)
@given(st.floats(-1.0, 2.0), st.integers(1, 20), st.floats(0.01, 0.2), st.floats(-0.5, 0.3), st.floats(0.1, 1.0),
       st.floats(0.0, 1.0))
def test_set_points_keep_to_the_command_limits(to: float, steps: int, dt: float, late: float, scale: float,
                                               phase: float) -> None:
    start = standing()
    at = STAMP + round(phase * TICK_NS)
    start = replace(start, setpoints=(replace(start.setpoints[0], start_ns=at),))
    path = follow(ROBOT, start, chunk(ramp(to, steps), dt=dt, stamp_ns=STAMP + round(late * NS)), scale, 60)
    assert np.array_equal(path.position[0], ROBOT.stand)
    speed, tick = np.abs(path.velocity), TICK_NS / NS
    assert (speed <= scale * ROBOT.command_velocity + 1e-9).all()
    assert (np.abs(np.diff(path.velocity, axis=0)) <= ROBOT.command_acceleration * tick + 1e-9).all()
    assert (np.abs(np.diff(path.position, axis=0)) <= scale * ROBOT.command_velocity * tick + 1e-9).all()


# --- the pending chunk


@pytest.mark.parametrize(("values", "code"), [
    (dict(joint_names=("left_elbow",)), "WRONG_NAMES"), (dict(joint_names=()), "WRONG_NAMES"),
    (dict(positions=np.zeros((3, 2))), "WRONG_LENGTH"), (dict(positions=np.zeros(3)), "WRONG_LENGTH"),
    (dict(positions=np.zeros((0, 1))), "WRONG_LENGTH"), (dict(positions=np.array([[np.nan]])), "NON_FINITE"),
    (dict(step_dt=0.0), "OUT_OF_RANGE"), (dict(step_dt=math.nan), "OUT_OF_RANGE")])
def test_an_unusable_chunk_is_named(values: dict[str, Any], code: str) -> None:
    bad = chunk(ramp(0.8), **values)
    assert chunk_problem(ROBOT, bad)[0] == code
    predictor = Predictor(ROBOT, 0.5, 0.05)
    assert predictor.on_chunk(bad) == code
    assert predictor.chunk is None
    assert predictor.refusals[code] == 1


def test_an_older_chunk_does_not_replace_a_newer_one() -> None:
    predictor = Predictor(ROBOT, 0.5, 0.05)
    assert predictor.on_chunk(chunk(ramp(0.8), seq=5, epoch=2)) == ""
    assert predictor.on_chunk(chunk(ramp(0.8), seq=9, epoch=1)) == "OLD_SEQUENCE"
    assert predictor.predict(standing())[0].chunk_seq == 5


def test_a_chunk_is_numbered_from_1_because_0_says_that_there_is_none() -> None:
    predictor = Predictor(ROBOT, 0.5, 0.05)
    assert predictor.on_chunk(chunk(ramp(0.8), seq=0)) == "OUT_OF_RANGE"
    assert predictor.refusals["OUT_OF_RANGE"] == 1
    assert predictor.predict(standing())[0].chunk_seq == 0
    assert predictor.on_chunk(chunk(ramp(0.8), seq=1)) == ""
    assert predictor.predict(standing())[0].chunk_seq == 1


def test_a_chunk_that_has_passed_is_pending_no_more() -> None:
    predictor = Predictor(ROBOT, 0.5, 0.05)
    predictor.on_chunk(chunk(ramp(0.8)))
    assert predictor.predict(standing())[0].chunk_seq == 1
    assert predictor.predict(replace(standing(), stamp_ns=STAMP + NS))[0].chunk_seq == 0


# --- scores


def test_predictions_are_scored_against_what_came_beside_trivial_ones() -> None:
    predictor = Predictor(ROBOT, 0.5, 0.05)
    predictor.on_chunk(chunk(ramp(0.5)))
    path = predictor.predict(standing())[1]
    # What came is 29 mrad off at the elbow.
    for k in range(1, 150):
        q = np.array([np.interp(0.004 * k, path.time, column) for column in path.trajectory.T])
        q[ELBOW] += 0.029
        predictor.on_estimate(STAMP + k * 4 * MS, q)
    scored, _ = predictor.predict(replace(standing(), stamp_ns=STAMP + 800 * MS))
    expected = 0.029 / math.sqrt(N)
    for error in (scored.error_20ms, scored.error_100ms, scored.error_500ms):
        assert error == pytest.approx(expected, rel=0.02)
    moved = abs(path.trajectory[-1, ELBOW] + 0.029 - ROBOT.stand[ELBOW]) / math.sqrt(N)
    assert scored.error_hold[2] == pytest.approx(moved, rel=0.05)
    assert scored.error_velocity[2] == pytest.approx(moved, rel=0.05)  # it was at rest


def test_the_constant_velocity_is_scored_with_the_speed_at_the_time() -> None:
    scoring, v = Scoring(), np.full(N, 0.5)
    scoring.expect(STAMP, np.zeros(N), v, np.array([0.0, 0.25, 0.5]), np.zeros((3, N)))
    for k in range(1, 80):  # states do not come at the very times that are scored
        scoring.came(STAMP + k * 7 * MS, v * k * 0.007)
    predicted, hold, velocity = scoring.errors
    assert velocity == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    assert predicted == hold == pytest.approx((0.01, 0.05, 0.25))


def test_a_gap_in_the_states_scores_nothing() -> None:
    scoring = Scoring()
    scoring.expect(STAMP, np.zeros(N), np.zeros(N), np.array([0.0, 0.5]), np.ones((2, N)))
    scoring.came(STAMP, np.zeros(N))
    scoring.came(STAMP + 300 * MS, np.zeros(N))
    assert scoring.counts == (0, 0, 0)
    assert all(math.isnan(x) for x in scoring.errors[0])


def test_what_is_forbidden_is_looked_at_but_not_expected() -> None:
    predictor = Predictor(ROBOT, 0.5, 0.05)
    predictor.scale = 0.0
    q = near_the_limit()
    predictor.on_chunk(chunk(q[ELBOW] + 0.05 * np.arange(1, 11)[:, None]))
    assert predictor.predict(standing(q))[0].first_violation_code == "LIMIT_POSITION"
    for k in range(1, 60):
        predictor.on_estimate(STAMP + k * 10 * MS, q)
    assert predictor.scoring.counts == (0, 0, 0)


# --- load


def test_looks_that_take_long_are_left_out_and_counted() -> None:
    shedding, now = Shedding(0.25), 1_000 * NS
    ran = 0
    for k in range(100):  # ten seconds, each look lasts 90 ms and takes 50 ms of them
        begun = now + k * 100 * MS
        if not shedding.ask(begun, 0):
            shedding.ran(begun, begun + 90 * MS, 50 * MS)
            ran += 1
    assert ran == 50
    assert shedding.left_out.items() == (("BUSY", 50),)
    assert shedding.report()["looks left out"] == 50


def test_a_late_state_thread_is_not_burdened() -> None:
    shedding = Shedding(0.25)
    assert shedding.ask(NS, LATE_NS + MS) == "BUSY"
    assert "ms ago" in shedding.left_out.last
    assert shedding.ask(NS, LATE_NS - MS) == ""
