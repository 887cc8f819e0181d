"""The live page in a real browser: loads offline, shows what is, survives a graph's end, acts only with the token."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Process, wait_for
from safety_graph import Graph, graph_fixture  # noqa: F401

from humanoid_bench.rig import Rig
from humanoid_core.types import GateStatus, Level, SafetyStatus

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOKEN = "a token for this test"
LEVEL = "[data-level]"


@pytest.fixture(name="browser", scope="module")
def browser_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: sudo apt-get install chromium")
    # It draws in software, which would take the processor from the nodes that the page shows.
    polite = tmp_path_factory.mktemp("browser") / "chromium"
    polite.write_text(f'#!/bin/sh\necho 19 > /proc/self/autogroup\nexec nice -n 19 {CHROMIUM} "$@"\n')
    polite.chmod(0o755)
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=polite, args=[
            "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
        yield browser
        browser.close()


class Spoken(Rig):
    """A rig that also speaks for monitor and gate."""

    def __init__(self, domain: int, level: Level) -> None:
        super().__init__(domain)
        self.shown, self.tick = level, 0
        self._ended = threading.Event()
        self._speaker = threading.Thread(target=self._speak, daemon=True)
        self._speaker.start()

    def _speak(self) -> None:
        while not self._ended.wait(0.02):
            self.tick += 1
            self.say("safety/status", SafetyStatus(self.now_ns(), self.shown, False, "", (), self.tick, 0, 0.0))
            self.say("safety/gate", GateStatus(self.now_ns(), "passing", "", self.tick, 0, (), self.tick, 0, 0.0, 0.01))

    def close(self) -> None:
        self._ended.set()
        self._speaker.join(timeout=2.0)
        super().close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(name="page")
def page_fixture(browser: Any, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("HUMANOID_TWIN_TOKEN", TOKEN)
    port = free_port()
    node = start("dashboard", port=port, act=True)

    def listens() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, 30, "the page's port")
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector(LEVEL, timeout=30_000)
    yield page
    page.close()
    node.signal(signal.SIGINT)
    assert node.wait() == 0, node.output


def shows(page: Any, level: str) -> None:
    page.wait_for_selector(f'[data-level="{level}"]', timeout=20_000)


def test_the_page_follows_a_graph_through_its_end_and_its_return(page: Any, domain: int) -> None:
    shows(page, "NO MONITOR")
    first = Spoken(domain, Level.SAFE)
    shows(page, "SAFE")
    first.shown = Level.DANGER
    shows(page, "DANGER")
    first.close()
    shows(page, "NO MONITOR")
    second = Spoken(domain, Level.CAUTION)
    shows(page, "CAUTION")
    page.get_by_text("Plots").click()
    page.wait_for_selector(".uplot", timeout=20_000)
    second.close()
    foreign = [url for url in page.asked if "//127.0.0.1" not in url and not url.startswith(("data:", "blob:"))]
    assert foreign == [], "the page works without any other server"


def test_only_who_has_the_token_can_stop_the_robot_and_let_it_go_again(graph: Graph, page: Any) -> None:
    page.wait_for_selector('[data-level]:not([data-level="NO MONITOR"])', timeout=20_000)
    stop = page.get_by_role("button", name="STOP")
    assert stop.count() == 0
    page.get_by_role("textbox").first.fill("a guess")
    page.get_by_role("button", name="Unlock").click()
    page.get_by_text("that is not the token").wait_for(timeout=20_000)
    assert stop.count() == 0
    page.get_by_role("textbox").first.fill(TOKEN)
    page.get_by_role("button", name="Unlock").click()
    stop.wait_for(timeout=20_000)
    assert not graph.rig.gate("latched"), "a page that nobody pressed is no stop source"
    stop.click()
    wait_for(lambda: graph.rig.gate("latched"), 20, "a latched gate")
    shows(page, "EMERGENCY, stop latched")
    release = page.get_by_role("button", name="Release and reset")
    release.click()
    page.get_by_text("who answers for a reset?").wait_for(timeout=20_000)
    assert graph.rig.gate("latched"), "nobody answered for it"
    page.get_by_role("textbox").last.fill("Ada")
    release.click()
    wait_for(lambda: graph.rig.level() < Level.EMERGENCY and not graph.rig.gate("latched"), 20, "an open gate")
    page.wait_for_selector('[data-level]:not([data-level*="latched"])', timeout=20_000)
