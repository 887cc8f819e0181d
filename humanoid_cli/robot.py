"""`humanoid-twin robot import | export`: a model file becomes a robot file, a robot file becomes a model file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
import yaml

from humanoid_cli.errors import BadInput
from humanoid_core.robot import RobotError, StrictLoader, load_robot, robot_from_data
from humanoid_core.robot_read import read_model
from humanoid_core.robot_write import draft

robot_command = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Robot files: made from a model, and "
                                                                              "written out as one.")
Force = Annotated[bool, typer.Option(help="Overwrite a file that is there.")]


@robot_command.command(name="import")
def import_model(
    model: Annotated[Path, typer.Argument(help="A URDF or MJCF file.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The robot file; default: beside the model.")] = None,
    name: Annotated[str | None, typer.Option(help="The robot's name; default: the model's.")] = None,
    bodies: Annotated[bool, typer.Option(help="Write the numbers into the file, with shapes of our own, in place of a "
                                              "reference to the model.")] = False,
    force: Force = False,
) -> None:
    """Write a robot file from a model: limits as found, groups guessed, and a warning for all that is missing."""
    found = read_model(model)
    title = name or re.sub(r"[^a-z0-9_]+", "_", found.name.lower()).strip("_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", title):
        raise BadInput(f"--name '{title}': small letters, digits and _, a letter first")
    path = out or model.with_name(f"{title}.yaml")
    made = draft(found, title, path, bodies)
    try:  # before anything is written: what is refused now would be refused later
        robot = robot_from_data(yaml.load(made.text, Loader=StrictLoader), path)
    except RobotError as error:
        problem = str(error).removeprefix(f"{path}: ")
        raise BadInput(f"{model}: {problem}; repair the model and import it again") from None
    write(path, made.text, force)
    groups = ", ".join(f"{g} {len(members)}" for g, members in robot.groups.items())
    print(f"{path}: {robot.name}, {robot.n} joints, {sum(link.mass for link in found.links):.2f} kg; groups to check: "
          f"{groups}")
    for warning in made.warnings:
        print(f"  check: {warning}")


def write(path: Path, text: str, force: bool) -> None:
    """Write a file that is not there yet. Raises BadInput."""
    if path.exists() and not force:
        raise BadInput(f"{path} is there already; --force overwrites it")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


@robot_command.command(name="export")
def export_model(
    robot: Annotated[str, typer.Argument(help="A name in config/robots, or a path.")],
    form: Annotated[str, typer.Option("--format", help="urdf; gazebo: with contacts, sensors and ros2_control; "
                                                       "controllers: the parameters of ros2_control.")] = "urdf",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: the terminal.")] = None,
    gantry: Annotated[bool, typer.Option(help="gazebo: the base hangs where it stands.")] = True,
    controllers_file: Annotated[str, typer.Option(help="gazebo: the path under which the controllers' parameters lie.")]
    = "controllers.yaml",
    force: Force = False,
) -> None:
    """Write a robot file out as a model that others can read."""
    from humanoid_core.gazebo import controllers, gazebo_urdf
    from humanoid_core.urdf import urdf

    model = load_robot(robot)
    forms = {"urdf": lambda: urdf(model), "gazebo": lambda: gazebo_urdf(model, controllers_file, gantry),
             "controllers": lambda: yaml.safe_dump(controllers(model), sort_keys=False)}
    if form not in forms:
        raise BadInput(f"--format '{form}': must be one of {', '.join(forms)}")
    text = forms[form]()
    if out is None:
        print(text, end="")
        return
    write(out, text, force)
    print(f"{out}: {model.name} as {form}")
