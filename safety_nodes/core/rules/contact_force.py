"""How hard something presses on the robot, or the robot on something, in N against limits of the robot file.

Measured is: the twin's external joint torque tau (what the model does not explain: contact, payload, friction that it
does not know), turned into one force at the hand by damped least squares, F = (J J^T + l^2 I)^-1 J tau, since
tau = J^T F (Siciliano et al. 2009, Robotics, 3.7). So a push on the elbow reads as some force at the hand, along a
stretched arm little is seen, and inertia of what is carried counts as contact. Feet: measured vertical load as a share
of the weight. Limits are quasi-static values of ISO/TS 15066:2016, table A.2, named region by region in the robot
file. Without external torque the hands are not watched: `contact_force` stands among the blind rules in diagnostics.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.kinematics import GRAVITY
from safety_nodes.core import freshness
from safety_nodes.core.nearness import nearby
from safety_nodes.core.severity import grade
from safety_nodes.core.types import Finding, Tick

DAMPING = 0.02  # m


def check(x: Tick) -> list[Finding]:
    return [*_hands(x), *_feet(x)]


def _hands(x: Tick) -> list[Finding]:
    twin, history = freshness.twin(x), x.memory.history
    if twin is None or twin.external_torque.shape != (x.robot.n,) or x.state is None:
        history.blind = history.blind | {"contact_force"}
        return []
    history.blind = history.blind - {"contact_force"}
    nearby(x)  # makes the clearance when nobody gave one
    clearance = x.memory.clearance
    if clearance is None or not bool(np.isfinite(x.state.position).all()):
        return []
    found, k, placed = [], clearance.distances.kinematics, False
    for region in x.robot.contact:
        side = x.robot.hands.get(region.side)
        joints = list(x.robot.groups.get(region.group, ()))
        if side is None or not joints:
            continue
        tau = twin.external_torque[joints]
        if not bool(np.isfinite(tau).all()):  # not known of this arm
            history.blind = history.blind | {f"contact_force {region.name}"}
            continue
        history.blind = history.blind - {f"contact_force {region.name}"}
        # No singular value s of J gives more than s / (s^2 + l^2) <= 1 / (2 l): less cannot reach the first step.
        if float(np.linalg.norm(tau)) < 2.0 * DAMPING * x.config.contact_caution * region.force:
            continue
        if not placed:
            k.update(x.state.position)
            placed = True
        jacobian = k.jacobian(side.link, side.point)[:, joints]
        square = jacobian @ jacobian.T + DAMPING**2 * np.eye(3)
        force = float(np.linalg.norm(np.linalg.solve(square, jacobian @ tau)))
        severity = grade(force / region.force, x.config.steps("contact"))
        if severity > 0.0:
            found.append(Finding("CONTACT_FORCE", region.name, force, region.force, severity))
    return found


def _feet(x: Tick) -> list[Finding]:
    if x.state is None or x.robot.mass <= 0.0 or not bool(np.isfinite(x.state.foot_force).all()):
        return []
    weight, steps = x.robot.mass * GRAVITY, x.config.steps("foot_load")
    found = []
    for foot, force in zip(x.robot.feet, x.state.foot_force, strict=False):
        share = float(force[2]) / weight
        severity = grade(share, steps)
        if severity > 0.0:
            found.append(Finding("CONTACT_FORCE", f"foot {foot.name}", share * weight, steps[0] * weight, severity))
    return found
