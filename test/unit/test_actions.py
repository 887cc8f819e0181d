"""One action per level: what each asks for, from every situation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.types import Level, Mode, Posture
from safety_nodes.core.actions import ACTIONS, Arms, Situation
from safety_nodes.core.actions.clamp_and_refuse_new import clamp_and_refuse_new
from safety_nodes.core.actions.emergency import emergency
from safety_nodes.core.actions.halt import halt
from safety_nodes.core.actions.pass_on import pass_on
from safety_nodes.core.actions.scale import scale

_situation = st.builds(
    Situation, scale=st.floats(0.0, 1.0), accept_new=st.booleans(), posture=st.sampled_from(Posture),
    mode=st.sampled_from(Mode), still=st.booleans(), low=st.floats(0.0, 5.0), lying=st.floats(0.0, 5.0),
    toppling=st.booleans(),
    settle_time=st.just(1.0), damp_crouched=st.booleans())


def test_every_level_has_its_action() -> None:
    assert {Level.SAFE: pass_on, Level.CAUTION: scale, Level.WARNING: clamp_and_refuse_new,
                       Level.DANGER: halt, Level.EMERGENCY: emergency} == ACTIONS


def test_safe_passes_what_the_permit_allows() -> None:
    orders = pass_on(Situation(1.0, True))
    assert (orders.arms, orders.scale, orders.accept_new, orders.mode) == (Arms.FOLLOW, 1.0, True, Mode.RUN)


def test_caution_scales_and_lets_new_motions_begin() -> None:
    orders = scale(Situation(0.5, True))
    assert (orders.arms, orders.scale, orders.accept_new) == (Arms.FOLLOW, 0.5, True)


def test_warning_clamps_and_refuses_new_whatever_the_permit_says() -> None:
    orders = clamp_and_refuse_new(Situation(0.25, True))
    assert (orders.arms, orders.scale, orders.accept_new) == (Arms.FOLLOW, 0.25, False)


def test_danger_halts_the_arms_and_leaves_the_legs_to_balance() -> None:
    orders = halt(Situation(1.0, True))
    assert (orders.arms, orders.scale, orders.accept_new, orders.mode) == (Arms.BRAKE, 0.0, False, Mode.RUN)


@pytest.mark.parametrize("level", [Level.SAFE, Level.CAUTION, Level.WARNING])
def test_no_share_of_the_speed_is_no_leave(level: Level) -> None:
    assert ACTIONS[level](Situation(0.0, True)).arms == Arms.BRAKE


@pytest.mark.parametrize("posture", [Posture.HOLD, Posture.CROUCH])
def test_in_an_emergency_the_arms_brake_under_control_first(posture: Posture) -> None:
    orders = emergency(Situation(posture=posture, still=False))
    assert (orders.arms, orders.mode) == (Arms.BRAKE, Mode.RUN)


@pytest.mark.parametrize(("posture", "mode"), [(Posture.HOLD, Mode.HOLD), (Posture.CROUCH, Mode.CROUCH)])
def test_at_rest_the_body_does_what_the_posture_says(posture: Posture, mode: Mode) -> None:
    assert emergency(Situation(posture=posture, still=True)).mode == mode


def test_a_crouched_robot_is_let_go_of_only_when_allowed_and_at_rest_for_long_enough() -> None:
    def mode(**what: object) -> Mode:
        return emergency(Situation(posture=Posture.CROUCH, mode=Mode.CROUCH, still=True, **what)).mode  # type: ignore[arg-type]

    assert mode(low=60.0) == Mode.CROUCH, "the default"
    assert mode(low=0.9, damp_crouched=True) == Mode.CROUCH
    assert mode(low=1.0, damp_crouched=True) == Mode.DAMP


def test_before_a_fall_the_arms_tuck_at_once_and_the_legs_keep_their_torque() -> None:
    orders = emergency(Situation(posture=Posture.FALL, still=False))
    assert (orders.arms, orders.mode) == (Arms.TUCK, Mode.RUN)


def test_a_robot_that_lies_is_let_go_of() -> None:
    assert emergency(Situation(posture=Posture.FALL, lying=0.5)).mode == Mode.RUN
    assert emergency(Situation(posture=Posture.FALL, lying=1.0)).mode == Mode.DAMP


@given(_situation)
def test_torque_is_taken_away_only_from_a_body_that_is_low_and_at_rest(s: Situation) -> None:
    orders = emergency(s)
    assert orders.arms != Arms.FOLLOW
    assert not orders.accept_new
    if orders.mode == Mode.DAMP and s.mode != Mode.DAMP:
        assert s.lying >= s.settle_time or (s.damp_crouched and s.low >= s.settle_time)


@given(_situation)
def test_a_robot_that_is_down_is_not_made_to_stand_up(s: Situation) -> None:
    if s.mode in (Mode.CROUCH, Mode.DAMP) and s.posture != Posture.HOLD and not s.toppling:
        assert emergency(s).mode in (Mode.CROUCH, Mode.DAMP)
    if s.mode == Mode.DAMP:
        assert emergency(s).mode == Mode.DAMP


@given(_situation)
def test_a_fall_out_of_any_other_posture_tucks_the_arms(s: Situation) -> None:
    if s.posture == Posture.FALL and s.mode != Mode.DAMP and s.lying < s.settle_time \
            and (s.mode != Mode.CROUCH or s.toppling):
        orders = emergency(s)
        assert (orders.arms, orders.mode) == (Arms.TUCK, Mode.RUN)


@given(_situation, st.sampled_from(Level))
def test_a_graver_level_never_gives_more(s: Situation, level: Level) -> None:
    for graver in range(level + 1, Level.EMERGENCY + 1):
        milder, more = ACTIONS[level](s), ACTIONS[Level(graver)](s)
        assert more.scale <= milder.scale
        assert milder.accept_new or not more.accept_new
        assert milder.arms == Arms.FOLLOW or more.arms != Arms.FOLLOW
