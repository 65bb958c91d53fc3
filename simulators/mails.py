"""Every kind of mail by name, each composed from facts of a made-up runner."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from simulators import mail_facts as made
from worker.domain.models import Email
from worker.notify import Composer
from worker.sources.strava.errors import REVOKED

LONG_NAME = "Wolfgang-Maximilian von Hohenlohe-Schillingsfürst zu Ratibor und Corvey the Third"

IN_MILES = made.athlete(units="mi", clock="12", name=LONG_NAME, pain=())

MAILS: dict[str, Callable[[Composer], Email]] = {
    "alert": lambda c: c.alert(made.alert_facts()),
    "alert in miles": lambda c: c.alert(made.alert_facts(runner=IN_MILES)),
    "alert after a break": lambda c: c.alert(made.alert_facts("return")),
    "alert about a ramp": lambda c: c.alert(made.alert_facts("ramp")),
    "alert after a race": lambda c: c.alert(
        made.alert_facts(finding=made.finding(race="race", retraining=False))
    ),
    "alert after perhaps a race": lambda c: c.alert(
        made.alert_facts(finding=made.finding(race="maybe"))
    ),
    "alert without pain": lambda c: c.alert(made.alert_facts(runner=made.athlete(pain=()))),
    "alert to somebody who should be seen": lambda c: c.alert(
        made.alert_facts(diary=made.hurting())
    ),
    "weekly": lambda c: c.weekly(made.weekly_facts()),
    "weekly in miles": lambda c: c.weekly(made.weekly_facts(runner=IN_MILES)),
    "weekly after a jump": lambda c: c.weekly(made.week_after_the_jump()),
    "weekly to somebody who should be seen": lambda c: c.weekly(
        made.weekly_facts(
            diary=made.hurting(), plan=made.coming(date(2026, 2, 16), checkins=made.hurting())
        )
    ),
    "weekly without runs": lambda c: c.weekly(made.quiet_week()),
    "first weekly": lambda c: c.weekly(made.first_week()),
    "weekly with troubles": lambda c: c.weekly(made.weekly_facts(troubles=(f"strava: {REVOKED}",))),
    "weekly with a key that runs out": lambda c: c.weekly(
        made.weekly_facts(key_ends_on=date(2026, 2, 28))
    ),
    "reconnect": lambda c: c.reconnect(made.reconnect_facts()),
    "renew": lambda c: c.reconnect(made.reconnect_facts(source="garmin")),
    "red flag": lambda c: c.red_flag(made.red_flag_facts()),
    "red flag of an emergency": lambda c: c.red_flag(
        made.red_flag_facts("weak_legs", runner=IN_MILES)
    ),
    "alert copy": lambda c: c.alert_copy(made.alert_copy_facts()),
    "alert copy of somebody who should be seen": lambda c: c.alert_copy(
        made.alert_copy_facts(runner=IN_MILES, diary=made.hurting())
    ),
    "welcome": lambda c: c.welcome(made.welcome_facts()),
    "welcome to somebody who wants no summary": lambda c: c.welcome(
        made.welcome_facts(replace(IN_MILES, wants=frozenset({"alert"})))
    ),
    "new address": lambda c: c.address(made.address_facts()),
    "new address, told to the old one": lambda c: c.address_asked(made.address_facts()),
    "notice": lambda c: c.notice(made.notice_facts()),
}
