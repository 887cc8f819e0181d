"""Free text -> task, or a refusal that says which words it lacks.

A small grammar, not a language model: verb, colour, kind and hand are looked for among known words and their
synonyms. What would have to be guessed is refused: no verb, two of anything, an object where none belongs,
a colour or thing that is not known.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

VERBS = ("touch", "point", "wave", "raise", "rest")
COLOURS = ("red", "green", "blue")
KINDS = ("cube", "ball", "cylinder")
HANDS = ("left", "right", "either")
KNOWS = (
    "it knows: touch or point at a red, green or blue cube, ball or cylinder; wave; raise a hand; "
    "go back to rest; each with the left or right hand"
)


@dataclass(frozen=True)
class Task:
    """What to do. ``colour`` and ``kind`` are '' when not named; ``hand`` is left, right or either."""

    verb: str
    colour: str = ""
    kind: str = ""
    hand: str = "either"

    @property
    def thing(self) -> str:
        """The object in words, "red cube", "red object" or "ball"."""
        return f"{self.colour} {self.kind or 'object'}".strip()


@dataclass(frozen=True)
class Refusal:
    """Why nothing is done: reason code and text for people."""

    code: str
    detail: str


# Tried in this order, and what matched is taken out of the text, so that "put your hand on" is a touch
# before "hand" is a hand.
_HAND_WORD = r"(?:hands?|arms?|palms?|fists?|wrists?)"
_PHRASES: dict[str, tuple[str, ...]] = {
    "rest": (
        rf"\b(?:lower|drop|put down|take down) (?:your |both |the |left |right )*{_HAND_WORD}(?: down)?",
        rf"\b(?:put|bring|take|move) (?:your |both |the |left |right )*{_HAND_WORD} (?:back )?"
        r"(?:down|to (?:your|the) sides?)",
        r"\b(?:go|come|get|move|return)(?: back)? to (?:the |your |a )?"
        r"(?:rest(?:ing)?|start(?:ing)?|home|neutral|initial)(?: (?:posture|pose|position))?",
        r"\b(?:stand|be) (?:at ease|easy)|\barms? down|\bhands? down|\bat ease",
        r"\b(?:take a |have a )?rest\b|\brelax\b|\bgo home\b",
    ),
    "raise": (
        rf"\b(?:put|hold|stick|throw|bring) (?:up )?(?:your |the |a |one |left |right )*{_HAND_WORD}"
        r" (?:up|high|in the air|into the air)",
        rf"\b(?:put|hold|stick|throw) up(?= (?:your |the |a |one |left |right )*{_HAND_WORD})",
        r"\b(?:raise|lift|elevate)(?: up)?\b",
        rf"\b{_HAND_WORD} up\b",
    ),
    "wave": (
        r"\b(?:say|wave) (?:hello|hi|goodbye|good bye|bye)(?: to (?:me|us|everyone|everybody|them))?",
        r"\b(?:wave|waving|greet)\b(?: (?:at|to) (?:me|us|everyone|everybody|them|the camera|people))?",
        r"^(?:hello|hi)\b",
    ),
    "touch": (
        rf"\b(?:put|place|lay|rest|set) (?:your |the |a |one |left |right )*{_HAND_WORD} (?:on|onto|upon|against)\b",
        r"\b(?:make|get in|come into|get into) contact with\b",
        r"\breach(?: out)?(?: your)?(?: (?:hand|arm))?(?: (?:for|to|towards?|and touch))?\b",
        r"\b(?:touch|tap|poke|press|feel|pat)(?: on)?\b",
    ),
    "point": (
        r"\b(?:point(?:ing)?|aim|gesture|direct)(?: your)?(?: (?:hand|arm|finger))?(?: (?:out|at|to|towards?))?\b",
        r"\bshow (?:me|us)(?: where)?\b|\bindicate\b|\bpoint out\b|\bwhere is\b|\bwhere's\b",
    ),
}
_COLOUR_WORDS = {
    "red": "red", "crimson": "red", "scarlet": "red", "ruby": "red", "green": "green", "emerald": "green",
    "lime": "green", "blue": "blue", "azure": "blue", "navy": "blue", "cobalt": "blue",
}  # fmt: skip
_KIND_WORDS = {
    "cube": "cube", "box": "cube", "block": "cube", "brick": "cube", "dice": "cube", "die": "cube",
    "ball": "ball", "sphere": "ball", "orb": "ball", "cylinder": "cylinder", "can": "cylinder",
    "tin": "cylinder", "tube": "cylinder", "drum": "cylinder",
}  # fmt: skip
_PLURALS = {f"{word}s": kind for word, kind in _KIND_WORDS.items()} | {"boxes": "cube"}
_ANY_THING = {"one", "object", "thing", "item", "toy", "piece", "shape"}
_OTHER_COLOURS = {
    "yellow", "orange", "purple", "violet", "pink", "black", "white", "grey", "gray", "brown", "cyan", "magenta",
    "golden", "gold", "silver", "turquoise", "beige",
}  # fmt: skip
#: Words that may follow a colour without being the name of a thing.
_FILLERS = {
    "with", "using", "by", "and", "on", "in", "at", "now", "please", "gently", "softly", "slowly", "from", "to",
    "for", "coloured", "colored", "colour", "color", "of", "small", "little", "big", "then", "your", "the",
}  # fmt: skip
_NEGATION = re.compile(r"\b(?:don'?t|do not|never|without|not|stop|avoid)\b")
_POLITE = re.compile(r"\b(?:can|could|would|will) you\b|\bright (?:now|away)\b|\ball right\b|\balright\b")
_LEAD = re.compile(r"\b(?:left|right)\b")
_HAND = re.compile(r"\b(left|right)(?:[ -]?(?:hand(?:ed)?|arms?|palm|fist|wrist|fingers?|index finger|limb))\b")
_WITH = re.compile(r"\b(?:with|using|use|by) (?:your |the |my |its )?(left|right)\b")
_BOTH = re.compile(r"\bboth (?:your |the )?(?:hands|arms)\b|\btwo hands\b|\bleft and right\b|\bright and left\b")


def parse(text: str) -> Task | Refusal:
    """Understand one instruction; never raises."""
    clean = " ".join(re.sub(r"[^a-z' -]+", " ", text.lower().replace("’", "'")).split())
    clean = " ".join(_POLITE.sub(" ", clean).split())
    if not clean:
        return _refuse("the instruction is empty")
    if match := _NEGATION.search(clean):
        return _refuse(f"'{match.group()}' forbids something, and only what to do is understood")
    hand = _hand(clean)
    if isinstance(hand, Refusal):
        return hand
    verbs, rest = _verbs(clean)
    if len(verbs) > 1:
        return _refuse(f"{' and '.join(verbs)} are two tasks; say 'then' between them")
    if not verbs:
        return _refuse(f"no verb in '{_short(text)}'{_suggest(clean)}")
    return _with_object(verbs[0], hand, clean, rest)


def _verbs(clean: str) -> tuple[list[str], str]:
    """Verbs in the text and the text without the phrases that named them."""
    found: list[tuple[int, str]] = []
    rest = clean
    for verb in ("touch", "rest", "raise", "wave", "point"):
        for pattern in _PHRASES[verb]:
            match = re.search(pattern, rest)
            if match is not None:
                found.append((clean.find(match.group()), verb))
                rest = f"{rest[: match.start()]} , {rest[match.end() :]}"
                break
    return [verb for _, verb in sorted(found)], rest


def _hand(clean: str) -> str | Refusal:
    """left, right or either; refuses both and places ("the left ball")."""
    if _BOTH.search(clean):
        return _refuse("both hands at once; it acts with one hand at a time")
    named = {m.group(1) for m in _HAND.finditer(clean)} | {m.group(1) for m in _WITH.finditer(clean)}
    if len(named) > 1:
        return _refuse("left and right hand are both named; name one")
    if named:
        return named.pop()
    if match := _LEAD.search(clean):
        word = match.group()
        return _refuse(f"'{word}' names a place, not a hand: say the object's colour, or '{word} hand'")
    return "either"


def _with_object(verb: str, hand: str, clean: str, rest: str) -> Task | Refusal:
    words = rest.replace(",", " , ").split()
    colours = sorted({_COLOUR_WORDS[w] for w in words if w in _COLOUR_WORDS})
    kinds = sorted({k for w in words if (k := _KIND_WORDS.get(w) or _PLURALS.get(w))})
    for word in words:
        if word in _OTHER_COLOURS:
            return _refuse(f"the colour '{word}' is not known; colours: {', '.join(COLOURS)}")
    for what, found in (("colours", colours), ("kinds of object", kinds)):
        if len(found) > 1:
            return _refuse(f"two {what} are named, {' and '.join(found)}; name one")
    colour, kind = "".join(colours), "".join(kinds)
    if verb in ("wave", "raise", "rest"):
        if colour or kind:
            thing = f"{colour} {kind}".strip()
            return _refuse(f"'{verb}' moves a hand only and takes no object, but '{thing}' is named")
        return Task(verb, hand=hand)
    if stranger := _stranger(words, kind):
        return _refuse(f"'{stranger}' is not a kind of object it knows; kinds: {', '.join(KINDS)}")
    if not colour and not kind:
        return _refuse(f"'{verb}' needs an object, none is named in '{_short(clean)}'{_suggest(rest)}")
    return Task(verb, colour, kind, hand)


def _stranger(words: list[str], kind: str) -> str:
    """The word after a colour when it names no known thing ("red banana"), or ''."""
    if kind:
        return ""
    for word, after in zip(words, [*words[1:], ","], strict=True):
        if word in _COLOUR_WORDS and after not in _ANY_THING | _FILLERS | {",", "left", "right"}:
            return after
    return ""


def _suggest(text: str) -> str:
    """', did you mean ...?' for a word that is nearly a known one."""
    known = [*VERBS, *_COLOUR_WORDS, *_KIND_WORDS]
    for word in text.split():
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
        if near and word not in known:
            return f" (did you mean '{near[0]}' by '{word}'?)"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse(why: str) -> Refusal:
    return Refusal("NOT_UNDERSTOOD", f"{why}; {KNOWS}")
