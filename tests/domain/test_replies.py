"""What a server's answer means: every phase, code and enhanced code that a rule names, by failure number."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domain.replies
from domain.replies import NO_REPLY, Phase, Verdict, is_quota, judge, mailbox_measure

ACCEPTED, TEMPORARY, PERMANENT = Verdict.ACCEPTED, Verdict.TEMPORARY, Verdict.PERMANENT
MAILBOX_FAULT, IN_DOUBT = Verdict.MAILBOX_FAULT, Verdict.IN_DOUBT
BEFORE_THE_DOT = [phase for phase in Phase if phase is not Phase.DOT]

details = st.builds("{}.{}".format, st.integers(0, 7), st.integers(0, 40))
enhanced_codes = st.none() | st.builds("{}.{}".format, st.sampled_from("245"), details)


def test_the_examples_in_the_module_hold() -> None:
    assert doctest.testmod(domain.replies).failed == 0


@pytest.mark.parametrize(
    ("code", "enhanced", "verdict"),
    [
        (450, "4.2.1", TEMPORARY),
        (451, None, TEMPORARY),
        (452, "4.5.3", TEMPORARY),
        (450, "4.7.1", TEMPORARY),
        (451, "4.7.1", TEMPORARY),
        (550, "5.1.1", PERMANENT),
        (550, None, PERMANENT),
        (550, "5.7.1", PERMANENT),
        (554, "5.7.1", PERMANENT),
        (550, "5.7.23", PERMANENT),
        (501, "5.1.3", PERMANENT),
        (552, None, TEMPORARY),
        (552, "5.2.2", TEMPORARY),
        (421, None, MAILBOX_FAULT),
        (421, "4.7.1", MAILBOX_FAULT),
        (450, "4.7.0", MAILBOX_FAULT),
        (454, "4.7.1", MAILBOX_FAULT),
        (451, "4.7.28", MAILBOX_FAULT),
        (550, "5.7.0", MAILBOX_FAULT),
        (530, None, MAILBOX_FAULT),
        (550, "5.7.8", MAILBOX_FAULT),
        (534, "5.7.9", MAILBOX_FAULT),
        (452, "4.4.5", MAILBOX_FAULT),
        (550, "5.4.5", MAILBOX_FAULT),
        (552, "5.4.5", MAILBOX_FAULT),
        (NO_REPLY, None, MAILBOX_FAULT),
        (250, None, TEMPORARY),
        (354, None, TEMPORARY),
    ],
)
def test_f6_an_answer_to_rcpt(code: int, enhanced: str | None, verdict: Verdict) -> None:
    assert judge(Phase.RCPT, code, enhanced) is verdict


@pytest.mark.parametrize("code", [421, 450, 451, 452, 500, 530, 550, 552, 554, NO_REPLY])
@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.TLS, Phase.AUTH, Phase.MAIL])
def test_f6a_a_refusal_before_the_recipient_was_named_is_the_mailboxes_fault(phase: Phase, code: int) -> None:
    assert judge(phase, code, None) is MAILBOX_FAULT


@pytest.mark.parametrize(
    ("phase", "code", "enhanced", "measure"),
    [
        (Phase.AUTH, 535, "5.7.8", "pause"),
        (Phase.AUTH, 535, None, "pause"),
        (Phase.AUTH, 454, "4.7.0", "delay"),
        (Phase.AUTH, NO_REPLY, None, "delay"),
        (Phase.MAIL, 550, None, "pause"),
        (Phase.MAIL, 553, "5.7.1", "pause"),
        (Phase.MAIL, 451, None, "delay"),
        (Phase.MAIL, 421, None, "delay"),
        (Phase.MAIL, 550, "5.4.5", "delay"),
        (Phase.MAIL, NO_REPLY, None, "delay"),
        (Phase.CONNECT, NO_REPLY, None, "delay"),
        (Phase.CONNECT, 554, None, "delay"),
        (Phase.TLS, 454, None, "delay"),
        (Phase.RCPT, 421, None, "delay"),
        (Phase.RCPT, 550, "5.7.0", "delay"),
        (Phase.RCPT, 530, "5.7.0", "delay"),
        (Phase.DATA, NO_REPLY, None, "delay"),
        (Phase.LOCAL, NO_REPLY, None, "pause"),
    ],
)
def test_f6a_only_what_no_waiting_mends_waits_for_a_person(
    phase: Phase, code: int, enhanced: str | None, measure: str
) -> None:
    assert mailbox_measure(phase, code, enhanced) == measure


@pytest.mark.parametrize(("phase", "code"), [(p, c) for p in (Phase.DATA, Phase.DOT) for c in (421, 450, 451, 452)])
def test_f7_4xx_to_data_or_dot_is_temporary(phase: Phase, code: int) -> None:
    assert judge(phase, code, None) is TEMPORARY
    assert judge(phase, code, "4.7.1") is TEMPORARY


@pytest.mark.parametrize("phase", [Phase.DATA, Phase.DOT])
@pytest.mark.parametrize("code", [500, 503, 550, 552, 554])
def test_f8_5xx_to_data_or_dot_is_permanent(phase: Phase, code: int) -> None:
    assert judge(phase, code, None) is PERMANENT
    assert judge(phase, code, "5.7.1") is PERMANENT


@pytest.mark.parametrize(("phase", "verdict"), [(Phase.DATA, MAILBOX_FAULT), (Phase.DOT, TEMPORARY)])
def test_a_quota_costs_no_lead_its_mail(phase: Phase, verdict: Verdict) -> None:
    assert judge(phase, 550, "5.4.5") is verdict
    assert is_quota("5.4.5")
    assert not is_quota("5.7.1")
    assert not is_quota(None)


@pytest.mark.parametrize("code", [NO_REPLY, 1, 25, 199, 300, 354, 399, 600, 999, -1])
def test_f9_anything_else_at_the_dot_is_in_doubt(code: int) -> None:
    assert judge(Phase.DOT, code, None) is IN_DOUBT


@pytest.mark.parametrize("code", [200, 250, 251, 299])
def test_2xx_at_the_dot_is_accepted(code: int) -> None:
    assert judge(Phase.DOT, code, None) is ACCEPTED


@given(phase=st.sampled_from(BEFORE_THE_DOT), code=st.integers(-1, 1000), enhanced=enhanced_codes)
def test_before_the_dot_every_answer_is_definite(phase: Phase, code: int, enhanced: str | None) -> None:
    assert judge(phase, code, enhanced) in (TEMPORARY, PERMANENT, MAILBOX_FAULT)


@given(code=st.integers(-1, 1000), enhanced=enhanced_codes)
def test_one_recipient_never_pauses_a_mailbox(code: int, enhanced: str | None) -> None:
    assert mailbox_measure(Phase.RCPT, code, enhanced) == "delay"
