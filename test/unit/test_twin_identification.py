"""What is identified is physically possible, or refused with what is; and the filter's arithmetic holds."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from twin_nodes.core import slow_fit
from twin_nodes.core.drives import Drives
from twin_nodes.core.estimator import EstimatorConfig, JointEstimator
from twin_nodes.core.identification import COULOMB, LOAD, SCALE, VISCOUS, Identification
from twin_nodes.core.twin import TwinCore

ROBOT = load_robot("g1")
ELBOW = ROBOT.index("left_elbow_joint")


def tell(identification: Identification, viscous: float, coulomb: float, load: float = 0.0,
         alike: bool = False, missing: float = 0.0) -> None:
    """Twenty seconds in which the left elbow moves and loses and carries just that. ``alike``: in a motion that does
    not tell viscous friction from Coulomb's; ``missing``: share of the reported torque that does not arrive."""
    rng = np.random.default_rng(5)
    theta = np.zeros(4)
    theta[[VISCOUS, COULOMB, LOAD, SCALE]] = viscous, coulomb, load, missing
    for _ in range(20):
        rows = rng.normal(size=(100, 4))
        if alike:
            rows[:, COULOMB] = rows[:, VISCOUS] + 0.01 * rows[:, COULOMB]
        block = identification._block()
        block.information[ELBOW] = rows.T @ rows
        block.moment[ELBOW] = rows.T @ (rows @ theta + 0.01 * rng.normal(size=100))
        block.way[:, ELBOW], block.count[ELBOW] = 1.0, 100
        identification.blocks.append(block)


def twin_told(viscous: float, coulomb: float, load: float = 0.0, alike: bool = False, missing: float = 0.0) -> TwinCore:
    core = TwinCore(ROBOT)
    tell(core.identification, viscous, coulomb, load, alike, missing)
    return core


def test_a_load_that_a_hand_can_hold_is_applied_and_one_that_it_cannot_is_refused() -> None:
    core = twin_told(0.1, 0.3, load=2.0)
    answer = core.calibrate("payload", True, 100 * NS)
    assert answer.ok
    assert answer.revision == 1
    assert "left hand: 2.0" in answer.report
    for load in (12.0, -3.0):
        core = twin_told(0.1, 0.3, load)
        answer = core.calibrate("payload", True, 100 * NS)
        assert not answer.ok
        assert answer.revision == 0
        assert answer.reason.startswith(f"IMPOSSIBLE: left hand: {load:.3f}"[:-2])
        assert "0 to 10 is" in answer.reason


@pytest.mark.parametrize(("viscous", "coulomb", "number"),
                         [(-0.5, 0.3, "-0.5"), (0.1, -0.4, "-0.4"), (7.0, 0.3, "7.0"), (0.1, 20.0, "20.0")])
def test_friction_that_no_gear_has_is_refused(viscous: float, coulomb: float, number: str) -> None:
    answer = twin_told(viscous, coulomb).calibrate("friction", True, 100 * NS)
    assert not answer.ok
    assert answer.revision == 0
    assert answer.reason.startswith(f"IMPOSSIBLE: left_elbow_joint: {number}")


def test_friction_is_applied_as_it_was_told_and_never_below_nothing() -> None:
    core = twin_told(0.12, 0.34)
    assert core.calibrate("friction", True, 100 * NS).ok
    friction = core.learning.calibration.current.friction
    assert friction.viscous[ELBOW] == pytest.approx(0.12, abs=0.01)
    assert friction.coulomb[ELBOW] == pytest.approx(0.34, abs=0.01)
    core = twin_told(-1e-5, 0.34)  # nothing, within what is known
    assert core.calibrate("friction", True, 100 * NS).ok
    assert core.learning.calibration.current.friction.viscous[ELBOW] == 0.0


def test_a_drive_that_gives_less_than_it_reports_is_corrected_on_request_and_taken_back() -> None:
    core = twin_told(0.12, 0.34, missing=0.1)
    told = core.calibrate("torque_scale", False, 100 * NS)
    assert told.ok
    assert "left_elbow_joint: torque scale 0.90" in told.report
    assert told.revision == 0
    core.calibrate("torque_scale", True, 100 * NS)
    assert core.learning.calibration.current.torque_scale[ELBOW] == pytest.approx(0.9, abs=0.005)
    tell(core.identification, 0.12, 0.34, missing=0.1)  # of what is left, a tenth again
    core.calibrate("torque_scale", True, 200 * NS)
    assert core.learning.calibration.current.torque_scale[ELBOW] == pytest.approx(0.81, abs=0.005)
    core.calibrate("rollback", True, 300 * NS)
    assert core.learning.calibration.current.torque_scale[ELBOW] == pytest.approx(0.9, abs=0.005)


@pytest.mark.parametrize(("missing", "reason"), [(0.0, "there is nothing to correct at 1 joints"),
                                                 (0.7, "IMPOSSIBLE: left_elbow_joint: 0.3"),
                                                 (-0.8, "IMPOSSIBLE: left_elbow_joint: 1.8")])
def test_a_torque_scale_that_is_none_is_refused(missing: float, reason: str) -> None:
    answer = twin_told(0.12, 0.34, missing=missing).calibrate("torque_scale", True, 100 * NS)
    assert not answer.ok
    assert answer.revision == 0
    assert answer.reason.startswith(reason), answer.reason


def test_a_motion_that_does_not_tell_two_numbers_apart_is_refused_with_why() -> None:
    core = twin_told(0.12, 0.34, alike=True)
    assert "condition number" in core.identification.joint(ELBOW)[VISCOUS].problem
    assert core.calibrate("friction", True, 100 * NS).reason.startswith("EXCITATION")


def test_the_slow_fit_stays_within_what_is_possible() -> None:
    core = TwinCore(ROBOT)
    tell(core.identification, -0.5, 20.0)
    fitted = slow_fit._joint(ROBOT, core.identification, ELBOW)
    assert not fitted.problem
    assert 0.0 <= fitted.viscous.value < 1e-6
    assert fitted.coulomb.value <= 0.3 * ROBOT.effort[ELBOW] + 1e-6


def test_an_exact_measurement_of_what_was_unknown_leaves_the_measurements_variance() -> None:
    """P - K H P loses it in the difference of two large numbers; Joseph's form does not."""
    noise = 1e-4
    estimator = JointEstimator(ROBOT, EstimatorConfig(position_noise=noise), Drives(ROBOT, NS))
    cov = np.zeros((ROBOT.n, 3, 3))
    cov[:] = 1e10 * np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]])
    every = np.ones(ROBOT.n, dtype=bool)
    _, after = estimator._update(np.zeros((ROBOT.n, 3)), cov, 0, np.zeros(ROBOT.n), cov[:, 0, 0] + noise**2, every)
    assert after[:, 0, 0] == pytest.approx(noise**2, rel=1e-3)
