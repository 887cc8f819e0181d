"""The classical policy over seeds, verbs and hands, in process: a table of outcomes as the judge sees them.

    python test/bench/bench_classical.py --seeds 5 --verbs touch point wave
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np

from humanoid_cli.closed_loop import ClosedLoop, Episode, LoopParams
from humanoid_core.robot import load_robot
from sim_nodes.core.plant import PlantParams
from vla_nodes.backends.classical import Classical

COLOURS, KINDS, HANDS = ("red", "green", "blue"), ("cube", "cylinder", "ball"), ("left", "right")


def scene(seed: int) -> tuple[str, ...]:
    """Colours and kinds paired differently by seed."""
    return tuple(f"{c} {KINDS[(i + seed) % 3]}" for i, c in enumerate(COLOURS))


def instruction(verb: str, thing: str, hand: str) -> str:
    words = {"touch": f"touch the {thing} with", "point": f"point at the {thing} with", "wave": "wave with"}
    if verb == "rest":
        return "go back to rest"
    return f"{words.get(verb, 'raise')} your {hand} hand"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=["touch", "point", "wave"])
    parser.add_argument("--all-things", action="store_true", help="every thing on the table, not one per seed")
    parser.add_argument("--delay", type=float, default=0.08, help="s from picture to chunk")
    parser.add_argument("--depth-noise", type=float, default=0.0, help="m, standard deviation")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    robot = load_robot("g1")
    backend = Classical(robot)
    rows: list[tuple[str, int, str, Episode]] = []
    begin = time.perf_counter()
    for seed in range(args.first, args.first + args.seeds):
        things = scene(seed)
        for verb in args.verbs:
            for h, hand in enumerate(HANDS):
                chosen = things if args.all_things and verb in ("touch", "point") else (things[(seed + h) % 3],)
                for thing in chosen:
                    loop = ClosedLoop(robot, backend, PlantParams(objects=", ".join(things), seed=seed),
                                      LoopParams(delay=args.delay, depth_noise=args.depth_noise, seed=seed))
                    text = instruction(verb, thing, hand)
                    episode = loop.run(text)
                    loop.close()
                    rows.append((verb, seed, text, episode))
                    show(seed, text, episode)
    good = [e.verdict is not None and e.verdict.success for _, _, _, e in rows]
    agree = [g == e.succeeded for g, (_, _, _, e) in zip(good, rows, strict=True)]
    falls = sum(e.fallen for *_, e in rows)
    print(f"\n{sum(good)}/{len(good)} succeed, the policy's own view agrees in {sum(agree)}, {falls} falls, "
          f"{time.perf_counter() - begin:.0f} s")
    for verb in args.verbs:
        mine = [g for g, (v, *_) in zip(good, rows, strict=True) if v == verb]
        print(f"  {verb}: {sum(mine)}/{len(mine)}")
    if args.json:
        figures = {"success": {"value": float(np.mean(good)), "unit": "", "aim": 13 / 15, "n": len(good)},
                   "falls": {"value": falls, "unit": "", "aim": 0, "n": len(good)}}
        args.json.write_text(json.dumps({"machine": {"cores": os.cpu_count()}, "figures": figures}, indent=1))
    return 0 if all(good) else 1


def show(seed: int, text: str, e: Episode) -> None:
    ok = "ok  " if e.verdict is not None and e.verdict.success else "FAIL"
    judged = "" if e.verdict is None else f"{e.verdict.distance * 1000:6.1f} mm"
    notes = [e.reason, e.detail if e.reason else "", "" if e.verdict is None or e.verdict.success else e.verdict.reason,
             "FELL" if e.fallen else "", str(e.refused) if e.refused else "", bumps(e)]
    print(f"{ok} seed {seed}  {text:54s} {e.seconds:5.1f} s {judged}  {' '.join(n for n in notes if n)}", flush=True)


def bumps(e: Episode) -> str:
    """Touching pairs other than a hand and a thing."""
    def harmless(a: str, b: str) -> bool:
        words = a + b
        return ("hand" in words or "table" in words) and not ("hand" in words and "table" in words)

    return "; ".join(sorted(f"{a} | {b}" for a, b in e.contacts if not harmless(a, b)))


if __name__ == "__main__":
    raise SystemExit(main())
