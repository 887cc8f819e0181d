"""`humanoid-twin bag`: what a recording holds and what of it the suite could use; what of a damaged one is left."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.topics import TOPICS
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader, BagTopic, locate, mcap_files
from humanoid_replay.salvage import salvage
from humanoid_replay.samples import KINDS
from humanoid_replay.through import topic_names


class What(str, Enum):
    """What may be asked."""

    info = "info"
    salvage = "salvage"


def bag_command(
    what: Annotated[What, typer.Argument(help="info: topics, rates and what the suite could use. salvage: write what "
                                         "can be read of a damaged mcap recording to --out.")],
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="New folder of what was salvaged.")] = None,
) -> None:
    """Summarise a recording, or rescue what is left of one."""
    check_writable(json)
    if what is What.salvage:
        _salvage(bag, out)
        return
    try:
        with BagReader(bag) as reader:
            names = topic_names(reader)
            rows = [(topic, use_of(topic, names.get(topic.name, ""))) for topic in reader.topics]
            seconds, metadata, remarks = reader.duration_s, reader.metadata, reader.remarks
    except BagError as error:
        raise BadInput(str(error)) from None
    total = sum(t.count for t, _ in rows)
    typer.echo(f"{bag}: {total} messages on {len(rows)} topics in {seconds:.1f} s")
    for line in remarks:
        typer.echo(line)
    for key, value in metadata.items():
        typer.echo(f"{key}: {value[:100]}")
    for topic, use in rows:
        rate = topic.count / seconds if seconds > 0.0 else 0.0
        typer.echo(f"  {topic.name}  {topic.type}  {topic.count}  {rate:.1f} Hz  {use}")
    write_figures(json, {"seconds": Figure(seconds, "s"), "messages": Figure(total)}, metadata=metadata,
                  topics=[{"topic": t.name, "type": t.type, "messages": t.count, "use": use} for t, use in rows])


def use_of(topic: BagTopic, name: str) -> str:
    """What the suite could do with a topic; ``name`` in its table, '' for none."""
    if name and TOPICS[name].type == topic.type:
        return f"is {name}"
    if name:
        return f"not usable: {name} is a {TOPICS[name].type}"
    if topic.type in KINDS:
        return f"a sensor of a foreign robot ({KINDS[topic.type][0]}); 'humanoid-twin ingest' judges it"
    return "unknown to the suite"


def _salvage(bag: Path, out: Path | None) -> None:
    if out is None or out.exists():
        raise BadInput("bag salvage needs --out FOLDER, one that does not exist yet")
    try:
        files = mcap_files(locate(bag))
        if not files:
            raise BagError(bag, "only mcap recordings can be salvaged; an sqlite3 file opens with what was committed")
        result = salvage(files, out)
    except BagError as error:
        shutil.rmtree(out, ignore_errors=True)  # ours alone: it did not exist before
        raise BadInput(str(error)) from None
    typer.echo(f"{out}: {result.messages} messages")
    for line in result.lost:
        typer.echo(f"lost: {line}")
