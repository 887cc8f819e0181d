"""`humanoid-twin bag info`: what a recording holds, and what of it the suite could use."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.topics import TOPICS
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader, BagTopic
from humanoid_replay.samples import KINDS
from humanoid_replay.through import topic_names


class What(str, Enum):
    """The one thing there is to ask so far."""

    info = "info"


def bag_command(
    what: Annotated[What, typer.Argument(help="info: topics, rates and what the suite could use.")],
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
) -> None:
    """Summarise a recording."""
    check_writable(json)
    try:
        with BagReader(bag) as reader:
            names = topic_names(reader)
            rows = [(topic, use_of(topic, names.get(topic.name, ""))) for topic in reader.topics]
            seconds, metadata = reader.duration_s, reader.metadata
    except BagError as error:
        raise BadInput(str(error)) from None
    total = sum(t.count for t, _ in rows)
    typer.echo(f"{bag}: {total} messages on {len(rows)} topics in {seconds:.1f} s")
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
