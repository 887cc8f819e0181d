"""Stamps: zero, from the future, too old, seen before, out of order."""

from __future__ import annotations

from humanoid_core.timing import MS, age_reason


def stamp_reason(stamp_ns: int, now_ns: int, last_ns: int, max_age_ns: int, future_ns: int) -> tuple[str, str]:
    """(code, detail) or ('', ''). ``last_ns``: stamp of the newest accepted sample, 0 for none.

    Age is judged before order: a sample that is too old is STALE whatever came before it.
    """
    code = age_reason(stamp_ns, now_ns, max_age_ns, future_ns)
    if code:
        if code == "ZERO_STAMP":
            return code, f"stamp {stamp_ns} ns"
        age = (now_ns - stamp_ns) / MS
        limit = max_age_ns if code == "STALE" else future_ns
        side = "old" if code == "STALE" else "ahead"
        return code, f"{abs(age):.1f} ms {side}, limit {limit / MS:g} ms"
    if stamp_ns == last_ns:
        return "DUPLICATE", f"stamp {stamp_ns} ns was accepted already"
    if stamp_ns < last_ns:
        return "OUT_OF_ORDER", f"{(last_ns - stamp_ns) / MS:.1f} ms before the newest"
    return "", ""
