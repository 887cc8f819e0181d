"""The gains of the robot file are stable when they are applied once per physics step.

Velocity feedback in discrete time is stable only while kd * step / inertia < 2; beyond, the joint buzzes between two
speeds at its torque limit as soon as something excites it.
"""

from __future__ import annotations

import mujoco
import numpy as np

from humanoid_core.physics import build_model
from humanoid_core.robot import load_robot
from sim_nodes.core.plant import PlantParams


def test_no_joint_buzzes_in_any_posture_of_the_upper_body() -> None:
    robot = load_robot("g1")
    model = build_model(robot)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    upper = list(robot.groups["upper_body"])
    dofs = [model.joint(n).dofadr[0] for n in robot.joint_names]
    worst = np.zeros(robot.n)
    unit = np.eye(model.nv)
    for _ in range(200):
        posture = robot.rest.copy()
        posture[upper] = rng.uniform(robot.lower[upper], robot.upper[upper])
        for name, q in zip(robot.joint_names, posture, strict=True):
            data.qpos[model.joint(name).qposadr[0]] = q
        mujoco.mj_forward(model, data)
        inverse = np.zeros((model.nv, model.nv))
        mujoco.mj_solveM(model, data, inverse, unit)
        worst = np.maximum(worst, robot.kd * np.diag(inverse)[dofs] * PlantParams().dt)
    bad = {n: round(float(w), 2) for n, w in zip(robot.joint_names, worst, strict=True) if w >= 1.9}
    assert not bad
