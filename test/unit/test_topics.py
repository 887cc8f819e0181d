"""The topic table: complete, buildable, and the same as docs/topics.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from humanoid_core.topics import ACTIONS, SERVICES, TOPICS, as_markdown
from humanoid_ros.qos import message_type, profile

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_every_topic_has_a_type_that_is_built_and_a_profile(name: str) -> None:
    topic = TOPICS[name]
    assert message_type(topic.type).get_fields_and_field_types()
    qos = profile(topic)
    assert qos.depth == topic.depth
    assert (qos.reliability.name == "RELIABLE") == topic.reliable
    assert (qos.durability.name == "TRANSIENT_LOCAL") == topic.latched


@pytest.mark.parametrize("endpoint", SERVICES + ACTIONS, ids=lambda e: e.name)
def test_every_service_and_action_type_is_built(endpoint: object) -> None:
    assert message_type(endpoint.type)  # type: ignore[attr-defined]


def test_names_are_relative_so_that_a_namespace_makes_a_second_robot() -> None:
    assert not [name for name in TOPICS if name.startswith(("/", "~"))]


def test_docs_topics_is_what_make_docs_would_write() -> None:
    assert (ROOT / "docs" / "topics.md").read_text() == as_markdown(), "run 'make docs'"
