"""bench vla: the same recorded chunks for every follower, and a client that is measured against a real server."""

from __future__ import annotations

import numpy as np
import pytest
from peers.board import Peer

from humanoid_bench import vla, vla_cycles, vla_latency
from humanoid_cli.errors import BadInput
from humanoid_cli.main import main
from humanoid_core.robot import load_robot

ROBOT = load_robot("g1")


def test_seams_of_the_core_stay_within_the_limits_and_far_below_switching() -> None:
    """Simulated time: the same every time."""
    ran = vla.seams(seeds=2, seconds=10.0)
    fastest = float(np.max(ROBOT.command_velocity[list(ROBOT.groups["upper_body"])]))
    assert np.all(ran["core"][:, 0] <= fastest * 0.01)
    assert np.all(ran["core"] <= 0.3 * ran["naive"])
    assert np.all(ran["core"] < ran["linear"])
    again = vla.seams(seeds=1, seconds=10.0)
    assert np.array_equal(again["core"][0], ran["core"][0])


def test_followers_end_where_the_chunks_lead() -> None:
    chunks = vla.recorded(ROBOT, 3, 10.0)
    delays = [(arrival - chunk.stamp_ns) / 1e9 for arrival, chunk in chunks]
    assert 0.02 < min(delays) < max(delays) <= 1.0
    times = list(range(chunks[0][0], chunks[-1][0], vla.TICK))
    off = vla.executed(ROBOT, chunks, times) - vla.naive(chunks, times)
    assert float(np.sqrt(np.mean(off**2))) < 2.0 * vla.DISAGREEMENT, "smooth, and not by staying behind"


def test_the_client_is_measured_against_a_server() -> None:
    with Peer("openpi") as peer:
        cost = vla.client_overhead(f"ws://127.0.0.1:{peer.port}", count=20, warm_up=2)
        assert cost["overhead"].shape == (20,)
        assert np.all(cost["overhead"] > 0.0)
        assert np.all(cost["observe"] > cost["overhead"])
        peer.set(mode="nan")
        peer.set(mode="traceback")
        with pytest.raises(BadInput, match="SERVER_ERROR"):
            vla.client_overhead(f"ws://127.0.0.1:{peer.port}", count=20)


def test_a_look_is_timed_from_the_picture_to_the_set_point() -> None:
    """A server that takes 60 ms: the chunk comes after that, the set-point after the chunk."""
    with Peer("openpi") as peer:
        peer.set(delay=0.06)
        found = vla_latency.measure("g1_openpi", f"ws://127.0.0.1:{peer.port}", count=10)
    assert len(found.to_chunk) == 10
    assert np.all(found.to_chunk >= 60.0)
    assert np.all(found.thinking >= 60.0)
    assert np.median(found.to_command) >= np.median(found.to_chunk)
    assert 0.0 < found.cores < 2.0
    assert 30.0 < found.memory < 4000.0
    assert set(vla_latency.figures("openpi", found)) >= {"obs_to_chunk_p95_ms_openpi", "obs_to_command_p99_ms_openpi"}


def test_a_policy_without_a_server_is_not_measured() -> None:
    with pytest.raises(BadInput, match="no policy contract"):
        vla_latency.measure("nobody")


def test_kills_and_restarts_leave_nothing_behind() -> None:
    found = vla_cycles.run("openpi", 3)
    assert found.back.shape == (3,)
    assert found.threads[1] <= found.threads[0]
    assert found.sockets[1] <= found.sockets[0] + 1
    assert vla_cycles.figures("openpi", found)["threads_left_openpi"].aim == 0


def test_words_that_name_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for option, word, known in (("--only", "speed", "seams"), ("--protocols", "http", "openvla")):
        assert main(["bench", "vla", option, word]) == 2
        text = capsys.readouterr().err
        assert f"'{word}'" in text
        assert known in text
