"""Free text -> task: paraphrases mean the same, everything else is refused with what is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nodes.core.instruction import COLOURS, HANDS, KINDS, VERBS, Refusal, Task, parse


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("touch the blue ball with your left hand", Task("touch", "blue", "ball", "left")),
        ("Touch the red cube!", Task("touch", "red", "cube", "either")),
        ("please reach for the green cylinder using your right arm", Task("touch", "green", "cylinder", "right")),
        ("could you reach out and touch the red box", Task("touch", "red", "cube", "either")),
        ("tap the azure sphere, left hand", Task("touch", "blue", "ball", "left")),
        ("put your right hand on the red block", Task("touch", "red", "cube", "right")),
        ("place your hand on the green can", Task("touch", "green", "cylinder", "either")),
        ("press the blue one", Task("touch", "blue", "", "either")),
        ("touch the ball", Task("touch", "", "ball", "either")),
        ("reach towards the crimson cube with the left", Task("touch", "red", "cube", "left")),
        ("point at the red cube with your right hand", Task("point", "red", "cube", "right")),
        ("Point your left arm towards the green cylinder", Task("point", "green", "cylinder", "left")),
        ("show me the blue ball", Task("point", "blue", "ball", "either")),
        ("indicate the green thing right now", Task("point", "green", "", "either")),
        ("where is the red cube?", Task("point", "red", "cube", "either")),
        ("with your right hand, gesture at the blue sphere", Task("point", "blue", "ball", "right")),
        ("wave", Task("wave")),
        ("wave with your right arm", Task("wave", hand="right")),
        ("wave hello with your left hand please", Task("wave", hand="left")),
        ("say hi to everyone", Task("wave")),
        ("raise your left hand", Task("raise", hand="left")),
        ("lift your left hand", Task("raise", hand="left")),
        ("put your right arm up", Task("raise", hand="right")),
        ("hold up your right hand", Task("raise", hand="right")),
        ("left hand up", Task("raise", hand="left")),
        ("go back to rest", Task("rest")),
        ("return to the resting posture", Task("rest")),
        ("lower your arms", Task("rest")),
        ("put your hands down", Task("rest")),
        ("relax", Task("rest")),
    ],
)
def test_paraphrases(text: str, task: Task) -> None:
    assert parse(text) == task


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "empty"),
        ("   ?!", "empty"),
        ("make me a coffee", "no verb"),
        ("tuoch the red cube", "did you mean 'touch'"),
        ("touch", "needs an object"),
        ("point over there", "needs an object"),
        ("touch the table", "needs an object"),
        ("touch the red and the blue cube", "blue and red"),
        ("touch the red cube or the red ball", "ball and cube"),
        ("touch the yellow ball", "yellow"),
        ("touch the red banana", "banana"),
        ("touch the red cube with your left and your right hand", "left"),
        ("wave with both hands", "both hands"),
        ("touch the left ball", "place"),
        ("touch the red cube, then wave", "touch and wave"),
        ("do not touch the red cube", "do not"),
        ("don't move", "don't"),
        ("lift the red cube", "takes no object"),
        ("wave at the blue ball", "takes no object"),
        ("dance", "no verb"),
        ("你好", "empty"),
    ],
)
def test_refusals_name_the_cause_and_what_is_known(text: str, names: str) -> None:
    got = parse(text)
    assert isinstance(got, Refusal)
    assert got.code == "NOT_UNDERSTOOD"
    assert names in got.detail
    assert "it knows" in got.detail


@given(st.text(max_size=200))
def test_any_text_gives_a_task_or_a_refusal(text: str) -> None:
    got = parse(text)
    if isinstance(got, Task):
        assert got.verb in VERBS
        assert got.hand in HANDS
        assert got.colour in ("", *COLOURS)
        assert got.kind in ("", *KINDS)
        assert (got.verb in ("touch", "point")) == bool(got.colour or got.kind)
    else:
        assert got.code == "NOT_UNDERSTOOD"


@given(
    st.sampled_from(["touch", "point at", "reach for", "indicate"]),
    st.sampled_from(COLOURS),
    st.sampled_from(KINDS),
    st.sampled_from(["left", "right"]),
    st.sampled_from(["hand", "arm"]),
    st.sampled_from(["", "please ", "could you kindly ", "now "]),
)
def test_every_combination_is_understood(v: str, c: str, k: str, h: str, limb: str, lead: str) -> None:
    got = parse(f"{lead}{v} the {c} {k} with your {h} {limb}")
    assert isinstance(got, Task)
    assert (got.colour, got.kind, got.hand) == (c, k, h)
