"""K1 to K4: start a node with a setting that it must refuse, or loosen one while it runs."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from humanoid_bench.faults.configuration import Refusal
from humanoid_bench.faults.judge import Answer
from humanoid_cli.supervisor import find_executable
from humanoid_core.robot import find_robot_file

PATIENCE = 30.0  # s for a node to refuse


def refuse(row: Refusal) -> Answer:
    """Start the node; it must end with code 2 and one line that says what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        key, value = row.setting
        if row.robot[0]:
            key, value = "robot", str(_robot_file(row, Path(folder)))
        command = [str(find_executable(row.node)), "--ros-args", "-p", f"{key}:={value}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return Answer(row.id, row.doc, "FAILED", f"{row.node} runs with it")
    said = done.stdout + done.stderr
    line = next((x for x in said.splitlines() if x.startswith("refused")), said.strip()[-200:])
    wrong = [] if done.returncode == 2 else [f"exit code {done.returncode} in place of 2"]
    wrong += [f"it does not say '{word}'" for word in row.words if word not in line]
    wrong += ["a traceback"] if "Traceback" in said else []
    return Answer(row.id, row.doc, "FAILED" if wrong else "ok", "; ".join(wrong) + f" ({line})" if wrong else line)


def loosen(world: Any, row: Refusal) -> Answer:
    """Ask a running node for another value; it must refuse."""
    key, value = row.setting
    number = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(value))
    request = SetParameters.Request(parameters=[Parameter(name=key, value=number)])
    answer = world.speaker.call(SetParameters, f"{row.node}/set_parameters", request)
    if answer is None:
        return Answer(row.id, row.doc, "FAILED", f"{row.node} does not answer")
    result = answer.results[0]
    if result.successful:
        return Answer(row.id, row.doc, "FAILED", f"{key} = {value} was accepted")
    fine = all(word in result.reason for word in row.words)
    return Answer(row.id, row.doc, "ok" if fine else "FAILED", f"refused: {result.reason}")


def _robot_file(row: Refusal, folder: Path) -> Path:
    """The robot file with one edit."""
    text = find_robot_file("g1").read_text()
    old, new = row.robot
    if old not in text:
        raise ValueError(f"{row.id}: the robot file no longer holds '{old}'")
    path = folder / "g1_edited.yaml"
    path.write_text(text.replace(old, new, 1))
    return path
