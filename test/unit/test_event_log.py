"""The event log: nothing that was acknowledged is lost, and no line can go, change or move unseen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_cli.main import main
from humanoid_core.types import Level, SafetyEvent
from safety_nodes.core import chain
from safety_nodes.event_log import EventLog, EventWriter, chains


def event(k: int, kind: str = "LEVEL") -> SafetyEvent:
    return SafetyEvent(1000 + k, "safety_monitor", 0, kind, Level.CAUTION, "TILT", "pelvis", f"event {k} – leans")


def read(folder: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in chains(folder)["monitor"]]


def written(folder: Path, *runs: int) -> list[tuple[str, bytes]]:
    """So many events in each run of a process."""
    for count in runs:
        log = EventLog(folder, "monitor")
        for k in range(count):
            log.append(event(k))
        log.close()
    return read(folder)


@pytest.fixture(scope="module", name="three")
def three_files() -> Iterator[list[tuple[str, bytes]]]:
    with tempfile.TemporaryDirectory() as folder:
        yield written(Path(folder), 3, 2, 4)


def test_the_chain_goes_on_over_restarts(three: list[tuple[str, bytes]]) -> None:
    report = chain.check(three)
    assert report.faults == ()
    assert [e["seq"] for e in report.events] == list(range(12))
    assert [e["kind"] for e in report.events].count("START") == 3
    assert report.head == report.digests[-1]
    assert chain.check(three[1:], whole=False).faults == ()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_shows(three: list[tuple[str, bytes]], data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(three) - 1))
    name, content = three[which]
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[place]))
    changed = [*three]
    changed[which] = (name, content[:place] + bytes([byte]) + content[place + 1:])
    assert chain.check(changed).faults


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_line_taken_away_moved_or_doubled_shows(three: list[tuple[str, bytes]], data: st.DataObject) -> None:
    lines = [(name, line) for name, content in three for line in chain.split(content)[0]]
    a = data.draw(st.integers(0, len(lines) - 2))  # a chain without its end is a shorter chain: heads are for that
    what = data.draw(st.sampled_from(["delete", "swap", "double"]))
    b = data.draw(st.integers(0, len(lines) - 1).filter(lambda i: i != a))
    texts = [line for _, line in lines]
    if what == "swap":
        texts[a], texts[b] = texts[b], texts[a]
    changed = [(name, text) for (name, _), text in zip(lines, texts, strict=True)]
    if what == "delete":
        del changed[a]
    elif what == "double":
        changed.insert(b, changed[a])
    files = {name: b"" for name, _ in three}
    for name, line in changed:
        files[name] += line + b"\n"
    assert chain.check(list(files.items())).faults


def test_a_file_that_is_taken_away_shows(three: list[tuple[str, bytes]]) -> None:
    for gone in (0, 1):
        faults = chain.check([f for i, f in enumerate(three) if i != gone]).faults
        assert "lines are missing" in faults[0].text


def test_lines_cut_off_at_the_end_show_against_a_head_kept_elsewhere(three: list[tuple[str, bytes]]) -> None:
    head = chain.check(three).head
    cut = three[:2]
    assert chain.check(cut).faults == ()
    assert head not in chain.check(cut).digests


@given(st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_torn_last_line_is_torn_and_the_next_start_goes_on(lost: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, 3)
        path = chains(folder)["monitor"][-1]
        content = path.read_bytes()
        cut = content[:-min(lost, len(content.splitlines(keepends=True)[-1]) - 1)]
        path.write_bytes(cut)
        report = chain.check(read(folder))
        assert report.faults == ()
        assert report.torn == (path.name,)
        files = written(folder, 2)
        report = chain.check(files)
        assert report.faults == ()
        assert report.events[-1]["seq"] == len(report.events) - 1
        assert path.read_bytes() == cut, "what is torn stays as it is"
        path.write_bytes(cut[:-1] + b"?")
        assert "torn line" in chain.check(read(folder)).faults[0].text


def test_a_damaged_log_goes_on_and_says_so_once(tmp_path: Path) -> None:
    written(tmp_path, 3)
    path = chains(tmp_path)["monitor"][-1]
    path.write_bytes(path.read_bytes().replace(b"event 2", b"event 7"))
    faults = chain.check(written(tmp_path, 2)).faults
    assert [(f.line, "changed" in f.text) for f in faults] == [(4, True)]


def test_two_processes_of_one_name_do_not_share_a_chain(tmp_path: Path) -> None:
    first, second = EventLog(tmp_path, "monitor"), EventLog(tmp_path, "monitor")
    for k in range(5):
        first.append(event(k))
        second.append(event(k))
    assert (first.name, second.name) == ("monitor", "monitor.2")
    for log in (first, second):
        log.close()
    assert all(chain.check([(p.name, p.read_bytes()) for p in files]).faults == ()
               for files in chains(tmp_path).values())


WRITER = """
import sys
from pathlib import Path
from humanoid_cli.main import main
from humanoid_core.types import Level, SafetyEvent
from safety_nodes.event_log import EventLog
log = EventLog(Path(sys.argv[1]), "monitor")
for k in range(10**9):
    done = log.append(SafetyEvent(k, "safety_monitor", 0, "LEVEL", Level.SAFE, "", "", f"event {k}"))
    sys.stdout.write(f"{done.seq}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after", [1, 40, 500])
def test_nothing_acknowledged_is_lost_on_kill_9(tmp_path: Path, after: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(after)]
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.wait()
    acknowledged += [int(line) for line in rest.split(b"\n")[:-1]]
    report = chain.check(read(tmp_path))
    assert report.faults == ()
    assert {e["seq"] for e in report.events} >= set(acknowledged)
    assert chain.check(written(tmp_path, 1)).faults == ()


def test_a_folder_that_cannot_be_written_is_said_and_the_events_still_go_out(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    heard: list[SafetyEvent] = []
    writer = EventWriter(in_the_way, "monitor", heard.append)
    assert "log_dir" in writer.problem
    writer.put([event(0), event(1)])
    in_the_way_still = writer.report()["event log"]
    writer.close()
    assert "log_dir" in str(in_the_way_still)
    assert [e.text for e in heard] == [event(0).text, event(1).text]
    assert writer.lost == 2


def test_a_full_disk_is_counted_and_the_next_line_says_how_many_are_missing(tmp_path: Path) -> None:
    """/dev/full takes nothing, as a full disk; then there is room again."""
    log = EventLog(tmp_path, "monitor")
    log.append(event(0))
    full, room = os.open("/dev/full", os.O_WRONLY), log._fd
    log._fd = full
    for k in (1, 2):
        with pytest.raises(OSError, match="No space left"):
            log.append(event(k))
    log._fd = room
    log.append(event(3))
    log.close()
    os.close(full)
    report = chain.check(read(tmp_path))
    assert report.faults == ()
    assert report.lost == 2
    assert [e["text"] for e in report.events[1:]] == [event(0).text, event(3).text]


def test_the_writer_gives_numbers_and_ends_with_everything_written(tmp_path: Path) -> None:
    heard: list[SafetyEvent] = []
    writer = EventWriter(tmp_path, "monitor", heard.append)
    writer.put([event(k, "LATCH") for k in range(20)])
    writer.close()
    assert [e.seq for e in heard] == list(range(1, 21))
    assert [e["text"] for e in chain.check(read(tmp_path)).events[1:]] == [e.text for e in heard]


def test_verify_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, 3, 2)
    assert main(["log", "verify", str(tmp_path)]) == 0
    assert "monitor: whole, 7 lines" in capsys.readouterr().out
    path = chains(tmp_path)["monitor"][0]
    path.write_bytes(path.read_bytes().replace(b"event 1", b"event 9"))
    assert main(["log", "verify", str(tmp_path)]) == 1
    assert f"{path.name}:3: this line does not fit its digest" in capsys.readouterr().out
    assert main(["log", "verify", str(path)]) == 1
    assert main(["log", "verify", str(chains(tmp_path)["monitor"][1])]) == 0


def test_a_head_kept_elsewhere_finds_what_was_cut_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, 3)
    assert main(["log", "verify", str(tmp_path), "--head"]) == 0
    head = capsys.readouterr().out.split()[1]
    written(tmp_path, 2)
    assert main(["log", "verify", str(tmp_path), "--expect-head", head]) == 0, "the log has grown since"
    path = chains(tmp_path)["monitor"][0]
    chains(tmp_path)["monitor"][1].unlink()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert main(["log", "verify", str(tmp_path)]) == 0
    assert main(["log", "verify", str(tmp_path), "--expect-head", head]) == 1


def test_show_prints_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, 5)
    assert main(["log", "show", str(tmp_path), "--kind", "level", "--last", "2"]) == 0
    text = capsys.readouterr().out
    assert "event 4" in text.replace("\n", " ")
    assert "event 2" not in text


@pytest.mark.parametrize(("arguments", "word"), [
    (["verify", "/nowhere"], "/nowhere"), (["show", ".", "--kind", "LEVELS"], "LEVELS"),
    (["verify", "/proc"], "/proc")])
def test_bad_input_is_exit_code_2(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", *arguments]) == 2
    assert word in capsys.readouterr().err
