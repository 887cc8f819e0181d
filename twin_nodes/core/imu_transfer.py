"""What one IMU of a robot says of the place of another, through the joints between them."""

from __future__ import annotations

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import matrix_quat, rpy_matrix
from humanoid_core.robot_model import Array, ImuSpec, RobotModel
from humanoid_core.types import ImuSample
from twin_nodes.core.turning import product


class ImuTransfer:
    """From the backup's frame B to the primary's frame A, with R_BA from the joint angles:

    orientation  q_A = q_B R_BA;   rate  w_A = R_AB w_B - R_A^T J_rel dq, J_rel = J_B - J_A (angular);
    acceleration a_A = R_AB a_B. The lever arm's terms (dw x r + w x w x r, under 1 m/s^2 for a standing
    robot) are left out: they need an angular acceleration that nobody measures.
    """

    def __init__(self, robot: RobotModel, kinematics: Kinematics, primary: ImuSpec, backup: ImuSpec) -> None:
        self._kinematics, self._primary, self._backup = kinematics, primary, backup
        self._mount_a, self._mount_b = rpy_matrix(primary.rpy), rpy_matrix(backup.rpy)

    def __call__(self, sample: ImuSample, q: Array, dq: Array) -> ImuSample:
        """The sample as the primary would have given it; q, dq (n,) at about the same time."""
        k = self._kinematics
        k.update(q, dq=dq)
        r_a = k.rotation(self._primary.link) @ self._mount_a
        r_b = k.rotation(self._backup.link) @ self._mount_b
        r_ab = r_a.T @ r_b
        joint_rate = (k.rotation_jacobian(self._backup.link) - k.rotation_jacobian(self._primary.link)) @ dq
        return ImuSample(sample.stamp_ns, product(sample.orientation, matrix_quat(r_ab.T)),
                         r_ab @ sample.angular_velocity - r_a.T @ joint_rate, r_ab @ sample.linear_acceleration)
