"""From when on the facts allow a mail: the campaign's life, its calendar, the limits, the longest pace, a back-off that
is on record, the mailbox. Put together from the rules in force and the mails themselves, apart from the gate and from
both policies, so that what these say can be held against it.

It is never sooner than a right policy: whoever still names a rule then names one that does not hold.
"""

from __future__ import annotations

from datetime import datetime

from domain.calendar import calendar_of
from domain.campaign import Campaign, Status
from domain.checks import Standing
from domain.counting import local_day
from domain.gate import LOOK_AHEAD
from domain.mailbox import Mailbox
from domain.policies import longest_pace, next_in_line


def allowed_from(campaign: Campaign, mailbox: Mailbox, standing: Standing, now: datetime) -> datetime | None:
    """The first instant from now on at which its owner may mail somebody; None where time alone does not bring it."""
    if campaign.status is not Status.RUNNING or campaign.observed or mailbox.paused is not None:
        return None
    first = next_in_line(campaign, campaign.owner, now)
    if first is None:
        return None
    retry = campaign.retry_of.get(first)
    at: datetime | None = max(now, retry.due_at) if retry is not None else now
    while at is not None and at - now <= LOOK_AHEAD:
        later = _not_before(campaign, mailbox, standing, at)
        if later == at:
            return at
        at = later
    return None


def _not_before(campaign: Campaign, mailbox: Mailbox, standing: Standing, at: datetime) -> datetime | None:
    """This instant where nothing holds a mail back, else a later one, up to which something does; None: for ever."""
    opens = calendar_of(standing.schedule).next_opening(at)
    if opens is None:
        return None
    times = [opens]
    if not standing.judge(at).in_limit:
        times.append(local_day(at, standing.schedule.zone)[1])
    if mailbox.mails.on_date_of(at, mailbox.zone) >= mailbox.daily_limit:
        times.append(local_day(at, mailbox.zone)[1])
    if mailbox.delayed_until is not None:
        times.append(max(at, mailbox.delayed_until))
    if (last := campaign.paced_from(at)) is not None:  # not `standing.last`: with several clocks that may be sooner
        times.append(max(at, last + longest_pace(standing.limits, campaign.owner)))
    return max(times)
