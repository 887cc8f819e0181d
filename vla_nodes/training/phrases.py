"""What people say: paraphrases of every task, a part of them held out from training, and language that is no task.

A held-out paraphrase is a sentence pattern that training never shows; its words occur there in other sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vla_nodes.core.instruction import Task

_COLOURS = {"red": ("red", "crimson", "scarlet", "ruby"), "green": ("green", "emerald", "lime"),
            "blue": ("blue", "azure", "navy", "cobalt")}  # fmt: skip
_KINDS = {"cube": ("cube", "box", "block", "brick", "dice"), "ball": ("ball", "sphere", "orb"),
          "cylinder": ("cylinder", "can", "tin", "tube", "drum"), "": ("object", "thing", "one", "item")}  # fmt: skip
#: {o} the object; {h} the hand's part at the end or ""; {H} "your left hand", "a hand"; {S} left, right.
_TRAIN: dict[str, tuple[str, ...]] = {
    "touch": (
        "touch the {o}{h}", "tap the {o}{h}", "poke the {o}{h}", "put {H} on the {o}", "place {H} on the {o}",
        "reach for the {o}{h}", "reach out and touch the {o}{h}", "make contact with the {o}{h}", "lay {H} on the {o}",
        "use {H} to touch the {o}", "with {H} touch the {o}", "go and touch the {o}{h}", "press on the {o}{h}",
        "the {o} touch it{h}", "i want you to touch the {o}{h}", "get {H} onto the {o}", "pat the {o}{h}",
        "feel the {o}{h}", "your task is to touch the {o}{h}", "let {H} touch the {o}", "reach to the {o}{h}",
        "rest {H} on the {o}", "touch that {o}{h}", "move {H} to touch the {o}", "bring {H} into contact with the {o}",
    ),
    "point": (
        "point at the {o}{h}", "point to the {o}{h}", "point towards the {o}{h}", "show me the {o}{h}",
        "indicate the {o}{h}", "aim {H} at the {o}", "use {H} to point at the {o}", "with {H} point at the {o}",
        "show me where the {o} is{h}", "where is the {o}", "point out the {o}{h}", "direct {H} at the {o}",
        "i want you to point at the {o}{h}", "gesture at the {o}{h}", "the {o} point at it{h}",
        "let {H} point at the {o}",
        "your task is to point at the {o}{h}", "point {H} at the {o}", "tell me where the {o} is by pointing at it{h}",
    ),
    "wave": (
        "wave{h}", "wave {H}", "wave at me{h}", "say hello{h}", "greet me{h}", "give me a wave{h}", "wave hello{h}",
        "say goodbye{h}", "use {H} to wave", "with {H} wave at me", "i want you to wave{h}", "wave to the people{h}",
        "say hi{h}", "let {H} wave", "greet the people{h}", "do a wave{h}", "your task is to wave{h}",
    ),
    "raise": (
        "raise {H}", "lift {H}", "put {H} up", "hold {H} up", "put up {H}", "lift up {H}", "raise {H} high",
        "hold {H} in the air", "hold up {H}", "i want you to raise {H}", "stick {H} up", "let {H} go up",
        "move {H} up", "bring {H} up into the air", "your task is to raise {H}", "reach up with {H}", "{H} up",
    ),
    "rest": (
        "go back to rest", "return to rest", "rest", "relax", "put your arms down", "lower your arms", "arms down",
        "go to the rest posture", "go home", "return to the start posture", "stand at ease", "lower {H}",
        "put {H} down",
        "take a rest", "move back to the rest pose", "drop {H}", "i want you to relax", "your task is to rest",
        "bring {H} back to rest", "go back to the neutral pose", "take {H} down",
    ),
}  # fmt: skip
_HELD_OUT: dict[str, tuple[str, ...]] = {
    "touch": (
        "go and put {H} onto the {o}", "let {H} make contact with the {o}", "i want you to tap the {o}{h}",
        "reach out to the {o} and touch it{h}", "use {H} to tap the {o}", "your task is to press the {o}{h}",
        "move {H} onto the {o}", "with {H} reach for the {o}",
    ),
    "point": (
        "use {H} to show me the {o}", "i want you to indicate the {o}{h}", "let {H} indicate the {o}",
        "with {H} show me where the {o} is", "go and point towards the {o}{h}", "your task is to show me the {o}{h}",
    ),
    "wave": ("wave hello to me{h}", "i want you to greet the people{h}", "let {H} wave at me", "use {H} to say hello",
             "go and wave to me{h}"),
    "raise": ("i want you to hold {H} up", "let {H} go up high", "lift {H} into the air", "go and raise {H}",
              "your task is to put {H} up"),
    "rest": ("i want you to go back to rest", "your task is to relax", "move your arms down", "go and take a rest",
             "return to the neutral posture"),
}  # fmt: skip
_BEFORE = ("", "", "", "", "", "please ", "now ", "can you ", "could you ", "robot ", "please now ", "would you ",
           "ok ", "hey robot ", "would you please ", "then ", "just ")  # fmt: skip
_AFTER = ("", "", "", "", "", " please", " now", " for me", " slowly", " gently", " right now", " again", " carefully",
          " thanks")  # fmt: skip
#: What is on no table, what is no colour here and what this policy cannot do.
_STRANGE_KINDS = ("banana", "cup", "bottle", "apple", "pyramid", "cone", "book", "spoon", "hammer", "phone", "hat",
                  "duck", "door", "car", "star", "ring", "plate", "pen", "lamp", "table", "face", "floor",
                  "wall")  # fmt: skip
_STRANGE_COLOURS = ("yellow", "orange", "purple", "pink", "black", "white", "grey", "brown", "golden", "silver", "cyan",
                    "violet", "striped", "wooden", "transparent")  # fmt: skip
_STRANGE_VERBS = ("grab", "pick up", "throw", "kick", "push", "eat", "paint", "hide", "drop", "open", "roll", "stack",
                  "lick", "break", "count", "buy", "juggle", "spin", "hit", "follow", "carry", "hand over", "smell",
                  "pull", "squeeze", "don't touch", "do not touch", "never touch", "don't point at", "avoid",
                  "stop touching", "do not point at", "look at", "steal", "clean", "catch", "wash")  # fmt: skip
_STRANGE = (
    "sing a song", "walk forward", "dance", "jump", "turn around", "what time is it", "tell me a joke", "make coffee",
    "who are you", "what is the weather like", "clean the table", "sit down", "nod your head", "run away", "go left",
    "move the table", "close your eyes", "play music", "it", "hello world program", "open the door", "do a backflip",
    "bring me a beer", "write a poem", "do your homework", "do something", "be nice", "go on", "call my mother",
    "turn left", "what do you see", "how are you", "is it cold", "blah blah", "lorem ipsum", "stop", "don't wave",
    "do not raise your hand", "never wave", "walk to the kitchen", "drive the car", "read a book", "left", "right",
    "your hand", "please", "now", "can you", "the table", "touch", "touch it", "point", "point at it", "touch me",
    "point at me", "touch the table", "point at the floor", "show me", "wave the red cube", "shake hands", "clap",
    "wave both hands", "raise both hands", "with both hands wave", "go back", "reach out", "give me five", "kneel",
    "berühre den roten würfel", "touche le cube rouge", "toca el cubo rojo", "winke mit der linken hand",
)  # fmt: skip


@dataclass(frozen=True)
class Phrase:
    """A sentence and what it asks for; None: nothing that is known."""

    text: str
    task: Task | None


def phrase(task: Task, rng: np.random.Generator, held_out: bool = False) -> str:
    """One way to ask for a task; ``held_out``: in a pattern that training never shows."""
    patterns = _HELD_OUT[task.verb] if held_out else _TRAIN[task.verb]
    patterns = tuple(p for p in patterns if _says(p, task))
    text = str(rng.choice(patterns))
    text = text.format(o=_object(task, rng), h=_at_end(task, rng), H=_named(task, rng), S=task.hand)
    return f"{rng.choice(_BEFORE)}{text}{rng.choice(_AFTER)}"


def _says(pattern: str, task: Task) -> bool:
    """Whether a pattern can name the hand of a task; resting moves both arms, whatever is named."""
    return task.hand == "either" or task.verb == "rest" or "{h}" in pattern or "{H}" in pattern


def _object(task: Task, rng: np.random.Generator) -> str:
    colour = _word(_COLOURS[task.colour], rng) if task.colour else ""
    kind = _word(_KINDS[task.kind], rng)
    small = str(rng.choice(("", "", "", "", "", "little ", "small ")))
    return f"{small}{colour} {kind}".strip()


def _word(words: tuple[str, ...], rng: np.random.Generator) -> str:
    """The usual word in six of ten sentences."""
    return words[0] if rng.uniform() < 0.6 else str(rng.choice(words))


def _limb(rng: np.random.Generator) -> str:
    return "hand" if rng.uniform() < 0.75 else "arm"


def _at_end(task: Task, rng: np.random.Generator) -> str:
    if task.hand == "either":
        return ""
    ways = (" with your {s} {l}", " with the {s} {l}", " using your {s} {l}", " with {s} {l}", " using the {s} {l}",
            " {s} {l}")  # fmt: skip
    how = rng.choice(ways, p=(0.45, 0.15, 0.15, 0.1, 0.1, 0.05))
    return str(how).format(s=task.hand, l=_limb(rng))


def _named(task: Task, rng: np.random.Generator) -> str:
    if task.hand == "either":
        return str(rng.choice(("a hand", "your hand", "one hand", "an arm", "your arm")))
    return str(rng.choice(("your {s} {l}", "the {s} {l}"), p=(0.7, 0.3))).format(s=task.hand, l=_limb(rng))


def any_task(rng: np.random.Generator) -> Task:
    """A task of the policy's repertoire."""
    verb = str(rng.choice(("touch", "point", "wave", "raise", "rest"), p=(0.35, 0.3, 0.12, 0.12, 0.11)))
    hand = str(rng.choice(("left", "right", "either"), p=(0.38, 0.38, 0.24)))
    if verb in ("wave", "raise", "rest"):
        return Task(verb, hand="either" if verb == "rest" else hand)
    task = _any_thing(rng, Task(verb, hand=hand))
    partial = rng.uniform()
    if partial < 0.12:
        return replace(task, kind="")
    return replace(task, colour="") if partial < 0.2 else task


def _any_thing(rng: np.random.Generator, task: Task) -> Task:
    """The same task with one of the nine things."""
    return replace(task, colour=str(rng.choice(tuple(_COLOURS))), kind=str(rng.choice(tuple(_KINDS)[:3])))


def strange(rng: np.random.Generator) -> str:
    """A sentence that asks for nothing this policy can do."""
    task = any_task(rng)
    task = Task("touch" if rng.uniform() < 0.5 else "point", task.colour, task.kind, task.hand)
    if not task.colour and not task.kind:  # no thing may stand in more of these sentences than the others
        task = _any_thing(rng, task)
    thing = _object(task, rng)
    kind = rng.integers(8)
    if kind == 0:
        text = str(rng.choice(_STRANGE))
    elif kind == 1:
        verb = rng.choice(("touch", "point at", "reach for", "show me"))
        colour = rng.choice(("", "red ", "green ", "blue "))
        text = f"{verb} the {colour}{rng.choice(_STRANGE_KINDS)}{_at_end(task, rng)}"
    elif kind == 2:
        verb = rng.choice(("touch", "point at", "put your hand on", "show me"))
        word = rng.choice(tuple(_KINDS)[:3])
        text = f"{verb} the {rng.choice(_STRANGE_COLOURS)} {word}{_at_end(task, rng)}"
    elif kind == 3:
        text = f"{rng.choice(_STRANGE_VERBS)} the {thing}{_at_end(task, rng)}"
    elif kind == 4:
        text = f"the {thing}{_at_end(task, rng)}"
    elif kind == 5:
        other = _object(_any_thing(rng, task), rng)
        text = f"{rng.choice(('touch', 'point at'))} the {thing} and the {other}{_at_end(task, rng)}"
        if other == thing:
            text = "touch both things"
    elif kind == 6:
        words = " ".join(str(rng.choice(patterns)) for patterns in (_STRANGE, _STRANGE_VERBS)).split()
        text = " ".join(rng.permutation(words))
    else:
        words = phrase(any_task(rng), rng).split()
        pick = rng.integers(len(words))
        text = " ".join([*words[:pick], "<unknown>", *words[pick + 1 :]])
    return f"{rng.choice(_BEFORE)}{text}{rng.choice(_AFTER)}"


def sample(rng: np.random.Generator, held_out: bool = False, strange_share: float = 0.4) -> Phrase:
    """A sentence for training, or from the held-out patterns."""
    if not held_out and rng.uniform() < strange_share:
        return Phrase(strange(rng), None)
    task = any_task(rng)
    return Phrase(phrase(task, rng, held_out), task)
