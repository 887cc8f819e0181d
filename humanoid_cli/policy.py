"""`humanoid-twin policy CONTRACT`: whether a policy contract, its robot and its server or checkpoint fit one another.

The policy is asked once, as if the robot stood in the simulated scene (with a grey picture where none can be drawn);
nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer

from humanoid_cli.errors import BadInput
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import RobotModel
from humanoid_core.types import RobotState
from vla_nodes.backends.make import under_contract
from vla_nodes.core.contract import ContractError, Loaded, load_contract
from vla_nodes.core.gather import GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation

#: Refusals that another question would not change: it has answered, or does not fit.
ANSWERED = ("CONTRACT", "BAD_REPLY", "NOT_FOUND")


def policy_command(
    contract: Annotated[str, typer.Argument(help="A name in config/policies, or a path.")],
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    server: Annotated[str, typer.Option(help="Address of the server instead of the contract's.")] = "",
    instruction: Annotated[str, typer.Option(help="What the policy is asked to do.")] =
    "touch the red cube with your right hand",
    patience: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for it; 0: compare the files only.")] = 60.0,
) -> None:
    """Compare a policy contract with robot and server or checkpoint, and ask the policy once."""
    model = load_robot(robot)
    try:
        loaded = load_contract(contract, model)
    except ContractError as error:
        raise BadInput(str(error)) from None
    terms = loaded.terms
    typer.echo(f"{loaded.file}: {terms.backend}, {len(terms.pictures)} pictures, {len(loaded.joints)} joints, "
               f"{terms.horizon} rows {terms.step} s apart, fits robot '{model.name}'")
    if patience == 0.0:
        return
    got = ask_once(model, loaded, server, instruction, patience)
    if isinstance(got, Refusal) and got.code == "NOT_FOUND":
        typer.echo(f"it answered without a motion: {got.code}: {got.detail}")
        return
    if isinstance(got, Refusal):
        raise BadInput(f"{got.code}: {got.detail}")
    if not got.positions.size:
        typer.echo(f"it answered without a motion: {got.reason_code or got.state}: {got.detail}")
        return
    base = model.rest[[model.index(n) for n in got.joint_names]]
    far = np.max(np.abs(got.positions - base), axis=0)
    typer.echo(f"it answered {got.positions.shape[0]} x {got.positions.shape[1]}; from rest, most in "
               f"{got.joint_names[int(np.argmax(far))]}: {float(np.max(far)):.3f} rad")


def ask_once(robot: RobotModel, loaded: Loaded, server: str, instruction: str, patience: float
             ) -> Decision | Refusal:
    """The policy's first answer, or why there was none within ``patience`` s."""
    try:
        backend = under_contract(loaded, robot, server)
    except ContractError as error:
        raise BadInput(str(error)) from None
    look, end = _looks(robot), time.monotonic() + patience
    try:
        refused = backend.start(instruction)
        if refused is not None:
            return refused
        while True:
            got = backend.observe(look())
            if isinstance(got, Decision) or time.monotonic() > end or got.code in ANSWERED:
                return got
            time.sleep(0.05)
    finally:
        backend.close()


def _looks(robot: RobotModel) -> Callable[[], Observation]:
    """Gives an observation of now, over and over."""
    from humanoid_bench.vla_latency import Still

    try:
        still = Still(robot, GatherParams(depth=False))
    except BadInput as error:
        typer.echo(f"it is shown a grey picture: {error}")
        return lambda: _grey(robot)

    def look() -> Observation:
        now = time.time_ns()
        still.take(now)
        seen = still.gather.observe(now, np.zeros(0), again=True)
        assert isinstance(seen, Observation)
        return seen

    return look


def _grey(robot: RobotModel) -> Observation:
    n, z, now = robot.n, np.zeros(3), time.time_ns()
    state = RobotState(now, 1, np.array(robot.rest), np.zeros(n), np.zeros(n), np.zeros(n), np.array([1.0, 0, 0, 0]), z,
                       z, np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip
    h, w = (robot.camera.height, robot.camera.width) if robot.camera is not None else (240, 320)
    return Observation(now, now, np.full((h, w, 3), 127, np.uint8), np.zeros((0, 0), np.float32),
                       np.full((3, 3), np.nan), state, state, image_ns=now)  # fmt: skip
