"""The event log and a disk that is slow, or fails: what is lost is told, what must be on the disk gets there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from test_event_log import event, read

from humanoid_cli.main import main
from humanoid_core.types import SafetyEvent
from safety_nodes import event_log
from safety_nodes.core import chain
from safety_nodes.event_log import EventWriter

REAL_FSYNC = os.fsync


def of_the_log(fd: int) -> bool:
    """Whether a descriptor is the log's file under its name (a new file is forced to the disk under another)."""
    return os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl")


def test_events_that_a_slow_disk_left_no_room_for_are_in_the_chain(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(event_log, "_WAITING", 5)
    held, arrived, heard = threading.Event(), threading.Event(), []

    def slow(done: SafetyEvent) -> None:
        heard.append(done)
        arrived.set()
        held.wait(20)

    writer = EventWriter(tmp_path, "monitor", slow)
    writer.put([event(0)])
    assert arrived.wait(20)  # the first is being worked on; five may wait, and the rest is lost
    writer.put([event(k) for k in range(1, 30)])
    assert writer.lost == 24
    held.set()
    writer.close()
    report = chain.check(read(tmp_path))
    assert report.faults == ()
    assert len(report.events) - 1 == len(heard) == 6
    assert report.lost == 24, "all of them, once"
    assert main(["log", "verify", str(tmp_path)]) == 0
    assert "24 events were lost" in capsys.readouterr().out.replace("\n", " ")


def test_what_was_lost_before_the_folder_could_be_written_is_told_once(tmp_path: Path) -> None:
    folder, published = tmp_path / "log", threading.Semaphore(0)
    folder.write_text("in the way")
    writer = EventWriter(folder, "monitor", lambda _: published.release())
    writer.put([event(0), event(1)])
    assert published.acquire(timeout=20)
    assert published.acquire(timeout=20)
    folder.unlink()
    writer.put([event(2), event(3)])
    writer.close()
    report = chain.check([(p.name, p.read_bytes()) for p in event_log.chains(folder)["monitor"]])
    assert [e.get("lost", 0) for e in report.events] == [0, 2, 0]
    assert (report.lost, writer.lost) == (2, 2)


def test_latch_and_reset_are_on_the_disk_before_they_are_published(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def watched(fd: int) -> None:
        if of_the_log(fd):
            seen.append("forced to the disk")
        REAL_FSYNC(fd)

    monkeypatch.setattr(os, "fsync", watched)
    published = threading.Semaphore(0)

    def publish(done: SafetyEvent) -> None:
        seen.append(done.kind)
        published.release()

    writer = EventWriter(tmp_path, "monitor", publish)
    writer.put([event(0), event(1, "LATCH"), event(2), event(3, "RESET"), event(4, "REFUSAL")])
    assert all(published.acquire(timeout=20) for _ in range(5))
    told = list(seen)
    writer.close()
    assert told == ["LEVEL", "forced to the disk", "LATCH", "LEVEL", "forced to the disk", "RESET", "REFUSAL"]


def test_a_latch_that_could_not_be_forced_to_the_disk_is_said_and_tried_again_until_it_is(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not counted as lost: it is written. Neither another line nor silence makes the trouble forgotten."""
    monkeypatch.setattr(event_log, "_RETRY", 0.01)
    broken, tries, mended = threading.Event(), threading.Semaphore(0), threading.Event()
    broken.set()

    def fails(fd: int) -> None:
        if not of_the_log(fd):
            return REAL_FSYNC(fd)
        tries.release()
        if broken.is_set():
            raise OSError(5, "Input/output error")
        REAL_FSYNC(fd)
        mended.set()
        return None

    monkeypatch.setattr(os, "fsync", fails)
    published = threading.Semaphore(0)
    writer = EventWriter(tmp_path, "monitor", lambda _: published.release())
    writer.put([event(0, "LATCH"), event(1)])
    assert published.acquire(timeout=20)
    assert published.acquire(timeout=20)
    assert all(tries.acquire(timeout=20) for _ in range(5)), "tried again without a further event"
    assert "not forced to the disk: Input/output error" in writer.problem
    assert (writer.lost, writer.count) == (0, 2)
    broken.clear()
    assert mended.wait(20)
    writer.close()
    assert writer.problem == ""
    assert [e["text"] for e in chain.check(read(tmp_path)).events[1:]] == [event(0).text, event(1).text]
