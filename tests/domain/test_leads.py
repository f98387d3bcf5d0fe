"""One byte a lead, the lines that find the next one, and the lead numbers: each against a plain model."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from domain.events import V1Status
from domain.leads import V1_STATUSES, LeadNumbers, LeadState, Line, Precedence, Roll

STATES = st.sampled_from(list(LeadState))
STATUSES: st.SearchStrategy[V1Status] = st.sampled_from(V1_STATUSES)


def test_a_new_lead_is_queued_in_the_status_v1_gave_it() -> None:
    roll = Roll()
    roll.append("planned")
    assert (len(roll), roll.state(0), roll.v1_status(0)) == (1, LeadState.QUEUED, "planned")
    assert LeadState.IN_DOUBT.label == "in doubt"


@given(st.lists(STATUSES, min_size=1, max_size=30), st.lists(st.tuples(st.integers(0, 29), STATES, STATUSES)))
def test_every_state_and_status_fits_the_byte_and_the_counts_are_those_of_the_bytes(
    statuses: list[V1Status], moves: list[tuple[int, LeadState, V1Status]]
) -> None:
    roll, model = Roll(), [(LeadState.QUEUED, status) for status in statuses]
    for status in statuses:
        roll.append(status)
    for position, state, status in moves:
        roll.move(position % len(model), state, status)
        model[position % len(model)] = (state, status)
    assert [(roll.state(at), roll.v1_status(at)) for at in range(len(roll))] == model
    assert roll.counts == Roll(bytes(roll)).counts == [sum(s is state for s, _ in model) for state in LeadState]
    assert list(roll.positions(LeadState.SENT)) == [at for at, (s, _) in enumerate(model) if s is LeadState.SENT]


def test_only_planned_and_queued_are_what_v1_picks() -> None:
    roll = Roll()
    for status in V1_STATUSES:
        roll.append(status)
    assert [status for at, status in enumerate(V1_STATUSES) if roll.v1_picks(at)] == ["planned", "queued"]


def test_skipping_all_touches_only_those_that_are_queued_and_keeps_the_v1_status() -> None:
    roll = Roll()
    for status in V1_STATUSES * 2:
        roll.append(status)
    for at, state in enumerate(LeadState):
        roll.move(at, state, "planned")
    before = [roll.state(at) for at in range(len(roll))]
    roll.skip_all_queued()
    expected = [LeadState.SKIPPED if state is LeadState.QUEUED else state for state in before]
    assert [roll.state(at) for at in range(len(roll))] == expected
    assert roll.counts == Roll(bytes(roll)).counts
    assert [roll.v1_status(at) for at in range(6, 12)] == list(V1_STATUSES)


@given(st.sets(st.integers(0, 40)), st.data())
def test_a_line_finds_the_first_that_waits_however_it_grows_shrinks_and_is_rewound(
    wanted: set[int], data: st.DataObject
) -> None:
    line, waiting, looked_again = Line(), set[int](), set[int]()
    for position in sorted(wanted):
        line.append(position)
        waiting.add(position)
        leaving = data.draw(st.lists(st.sampled_from(sorted(waiting)), max_size=3))
        for gone in leaving:
            waiting.discard(gone)
            looked_again.add(gone)
        assert line.first(waiting.__contains__) == min(waiting, default=None)
        back = data.draw(st.sampled_from([None, *sorted(looked_again)]))
        if back is not None:
            looked_again.discard(back)
            waiting.add(back)
            line.rewind(back)
        assert line.first(waiting.__contains__) == min(waiting, default=None)
    assert Line(line.runs()).first(waiting.__contains__) == min(waiting, default=None)


def test_a_line_does_not_look_again_at_what_it_has_passed() -> None:
    line, asked = Line(), list[int]()

    def waits(position: int) -> bool:
        asked.append(position)
        return position == 900

    for position in range(1000):
        line.append(position)
    assert line.first(waits) == 900
    asked.clear()
    assert line.first(waits) == 900
    assert asked == [900]


@given(st.lists(st.lists(st.integers(-3, 3), max_size=6), max_size=6), st.data())
def test_the_lowest_priority_goes_first_then_position_however_many_come_later(
    imports: list[list[int]], data: st.DataObject
) -> None:
    precedence, waiting, positions = Precedence(), dict[int, int](), count()
    for priorities in imports:
        for priority in priorities:
            waiting[next(positions)] = priority
            precedence.append(priority)
        if data.draw(st.booleans()):
            precedence = Precedence(bytes(precedence), ascending=precedence.ascending)
        for _ in range(data.draw(st.integers(0, 4))):
            first = precedence.first(waiting.__contains__)
            assert first == min(waiting, key=lambda at: (waiting[at], at), default=None)
            if first is not None:
                assert precedence.priority(first) == waiting.pop(first)


def test_leads_that_come_in_order_need_no_sorting() -> None:
    precedence = Precedence()
    for priority in (1, 1, 2):
        precedence.append(priority)
    assert precedence.ascending
    precedence.append(1)
    assert not precedence.ascending


@given(st.lists(st.integers(0, 60), unique=True, max_size=40), st.booleans())
def test_lead_numbers_are_found_by_position_and_the_other_way_round(numbers: list[int], thaw: bool) -> None:
    known = LeadNumbers()
    for number in numbers:
        known.append(number)
    if thaw:
        known = LeadNumbers(known.runs(), len(numbers))
    assert [known.lead_id(at) for at in range(len(numbers))] == numbers
    positions = {number: at for at, number in enumerate(numbers)}
    assert [known.position(number) for number in range(-1, 62)] == [positions.get(number) for number in range(-1, 62)]


def test_an_import_of_any_size_is_one_run_and_goes_on_after_a_thaw() -> None:
    known = LeadNumbers()
    for number in range(5000, 6000):
        known.append(number)
    thawed = LeadNumbers(known.runs(), 1000)
    thawed.append(6000)
    assert thawed.runs() == [[0, 5000]]
    assert (thawed.position(6000), thawed.position(6001)) == (1000, None)
