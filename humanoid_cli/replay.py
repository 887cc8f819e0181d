"""`humanoid-twin replay`: a recording through the cores."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.graph import parse_setting
from humanoid_core.robot import load_robot
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import MappingError, load_mapping
from humanoid_replay.through import ReplayError, ReplayReport, make_stages, replay
from humanoid_replay.writer import BagWriter
from humanoid_ros.params import ParameterError


def replay_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    through: Annotated[str, typer.Option(help="Stages, by comma: ingest, twin, vla, safety, "
                                         "gate.")] = "ingest,twin,safety",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the outputs as a bag into this new "
                                             "folder.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    map_file: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="YAML file that names topics and "
                                                  "joints of a foreign robot.")] = None,
    namespace: Annotated[str | None, typer.Option(help="The robot's namespace in the recording; default: the one with "
                                                  "most topics.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NODE.KEY=VALUE",
                                                       help="Set a node's parameter; may be given many times.")] = None,
) -> None:
    """Run recorded inputs through the cores, as fast as the machine allows; the same bag gives the same hash."""
    check_writable(json)
    model = load_robot(robot)
    if out is not None and out.exists():
        raise BadInput(f"{out}: exists already; choose another folder or remove it")
    names = [name.strip() for name in through.split(",") if name.strip()]
    try:
        mapping = load_mapping(map_file)
        stages = make_stages(names, model, [parse_setting(s) for s in settings or []])
        if out is None:
            report = replay(bag, stages, model, None, namespace, mapping)
        else:
            metadata = {"model_hash": model.hash, "through": ",".join(s.name for s in stages)}
            try:
                with BagWriter(out, metadata) as writer:
                    report = replay(bag, stages, model, writer, namespace, mapping)
            except BagError:
                shutil.rmtree(out, ignore_errors=True)  # ours alone: it did not exist before
                raise
    except (BagError, ReplayError, ParameterError, MappingError) as error:
        raise BadInput(str(error)) from None
    _tell(report)
    write_figures(json, figures_of(report), hash=report.hash, ran=list(report.ran), counts=report.counts,
                  refusals=report.refusals, remarks=report.remarks)


def figures_of(report: ReplayReport) -> dict[str, Figure]:
    speed = report.recorded_s / max(report.took_s, 1e-9)
    outputs = sum(report.counts.values())
    rows = {"replay_speed": Figure(speed, "x real time", 20.0, report.inputs),
            "replay_outputs": Figure(outputs, "", None, outputs)}
    for name, seconds in parts(report).items():
        rows[f"replay_speed_{name}"] = Figure(report.recorded_s / max(seconds, 1e-9), "x real time", None,
                                              report.inputs)
    return rows


def parts(report: ReplayReport) -> dict[str, float]:
    """Seconds in each stage's core, and in reading and writing ('bag')."""
    return {**report.stages_s, "bag": max(report.took_s - sum(report.stages_s.values()), 0.0)}


def _tell(report: ReplayReport) -> None:
    for topic, count in report.counts.items():
        typer.echo(f"{topic}: {count}")
    for key, count in sorted(report.refusals.items()):
        typer.echo(f"refused: {key} {count}")
    for line in report.remarks:
        typer.echo(line)
    typer.echo(f"{report.inputs} messages, {report.recorded_s:.1f} s of recording through {','.join(report.ran)} in "
               f"{report.took_s:.1f} s ({report.recorded_s / max(report.took_s, 1e-9):.1f} x real time: "
               f"{', '.join(f'{name} {seconds:.1f} s' for name, seconds in parts(report).items())})")
    typer.echo(f"sha256 {report.hash}")
