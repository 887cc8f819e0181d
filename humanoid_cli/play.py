"""`humanoid-twin play`: a recording to a running graph."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import rclpy
import typer
from rclpy.executors import SingleThreadedExecutor

from humanoid_cli.demo import stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import MappingError, load_mapping
from humanoid_replay.player import Player, PlayOptions, parse_remap
from humanoid_ros.watcher import own_context


def play_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    rate: Annotated[float, typer.Option(min=0.01, max=100.0, help="Speed of time.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    start: Annotated[float, typer.Option(min=0.0, help="Begin so many seconds into the recording.")] = 0.0,
    clock: Annotated[bool, typer.Option(help="Publish /clock; the nodes need use_sim_time, as the graph 'bag' sets "
                                        "it.")] = True,
    everything: Annotated[bool, typer.Option("--everything", help="Also play what the nodes had published.")] = False,
    wait: Annotated[float, typer.Option(min=0.0, help="Longest time to wait for listeners, s.")] = 10.0,
    map_file: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="YAML file that names topics and "
                                                  "joints of a foreign robot.")] = None,
    remap: Annotated[list[str] | None, typer.Option(metavar="TOPIC:=OTHER", help="Publish under another name; may be "
                                                    "given many times.")] = None,
    namespace: Annotated[str | None, typer.Option(help="The robot's namespace in the recording.")] = None,
) -> None:
    """Publish a recording with its QoS and its clock to a running graph."""
    with stop_on_signals() as stop:
        context = own_context()
        node = rclpy.create_node("bag_player", context=context, enable_rosout=False, start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        spinning = threading.Thread(target=executor.spin, daemon=True)
        try:
            options = PlayOptions(rate, start, loop, clock, everything, wait, namespace, parse_remap(remap or []),
                                  load_mapping(map_file))
            player = Player(node, bag, options)
            spinning.start()
            for line in player.played.remarks:
                typer.echo(line)
            played = player.play(stop, typer.echo)
        except (BagError, MappingError, ValueError) as error:
            raise BadInput(str(error)) from None
        finally:
            executor.shutdown()
            if spinning.is_alive():
                spinning.join(timeout=2.0)
            node.destroy_node()
            rclpy.shutdown(context=context)
    typer.echo(f"{sum(played.counts.values())} messages of {len(played.counts)} topics; the worst left "
               f"{played.late_ms:.1f} ms late")
