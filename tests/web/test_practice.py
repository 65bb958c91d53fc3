"""The practice's pages: access, content and changes."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from simulators.practice import add_therapist, add_thirty, practice_link
from simulators.speech import faults, told
from simulators.web_instance import NOW, Instance, run_winter
from worker.domain.models import Athlete
from worker.notify.render import SHIPPED_LANGUAGES
from worker.sources.strava.errors import REVOKED
from worker.store.progress import SourceState
from worker.web.practice import AT_ONCE

PUBLIC = "https://easeback.example.org"
TOKEN = "a made token"


@pytest.fixture
def thirty(made: Instance) -> Mapping[str, Athlete]:
    return add_thirty(made)


@pytest.fixture
def link(made: Instance) -> str:
    return practice_link(made, add_therapist(made))


@pytest.fixture
def client(made: Instance) -> Iterator[TestClient]:
    services = replace(made.web.services, copies_alerts=True)
    with made.client(services=services) as client:
        yield client


def names_in(page: str, thirty: Mapping[str, Athlete]) -> list[str]:
    """First names in the order of the page."""
    at = {
        first: page.find(f"<bdi>{one.name.replace(chr(39), '&#39;')}</bdi>")
        for first, one in thirty.items()
    }
    return sorted((first for first in at if at[first] >= 0), key=lambda first: at[first])


class TestLinks:
    def test_a_therapist_sees_everybody_for_ninety_days(
        self, made: Instance, link: str, client: TestClient, mira: Athlete
    ) -> None:
        """And not a day longer; then the page says who can make a new link."""
        assert "Mira" in client.get(link).text
        made.clock.now += timedelta(days=90)
        assert client.get(link).status_code == 200
        made.clock.now += timedelta(seconds=1)
        answer = client.get(link)
        assert answer.status_code == 410
        assert "easeback therapist relink" in answer.text

    def test_a_new_link_and_going_close_the_old_one(
        self, made: Instance, client: TestClient
    ) -> None:
        """Others' links stay open."""
        vera, wim = add_therapist(made), add_therapist(made, "Wim")
        old, other = practice_link(made, vera), practice_link(made, wim)
        with made.store.transaction() as tx:
            fresh = tx.therapists.relink(vera)
        assert client.get(old).status_code == 410
        assert client.get(practice_link(made, fresh)).status_code == 200
        with made.store.transaction() as tx:
            tx.therapists.remove(fresh)
        assert client.get(practice_link(made, fresh)).status_code == 410
        assert client.get(other).status_code == 200

    def test_the_token_leads_the_operator_on_for_twelve_hours(self, made: Instance) -> None:
        """Without it there's no access, not even from this machine once it's published."""
        client = made.client(base_url=PUBLIC, token=TOKEN)
        assert client.get("/practice").status_code == 401
        login = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        answer = client.get("/practice", headers={"Authorization": f"Basic {login}"})
        assert answer.status_code == 303
        page = answer.headers["location"]
        assert client.get(page).status_code == 200
        assert TOKEN not in page
        made.clock.now += timedelta(hours=12, seconds=1)
        assert client.get(page).status_code == 410

    def test_another_token_ends_the_operators_links(self, made: Instance) -> None:
        """Also if there was none before; therapists' links stay valid."""
        page = made.client().get("/practice").headers["location"]
        theirs = practice_link(made, add_therapist(made))
        assert made.client().get(page).status_code == 200
        with_token = made.client(token=TOKEN)
        assert with_token.get(page).status_code == 410
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        page = with_token.get("/practice", headers=bearer).headers["location"]
        assert with_token.get(page).status_code == 200
        assert made.client(token="another made token").get(page).status_code == 410
        assert made.client(token="another made token").get(theirs).status_code == 200

    def test_an_athletes_link_opens_no_practice_and_a_therapists_no_athlete(
        self, made: Instance, link: str, client: TestClient, mira: Athlete
    ) -> None:
        """Each is signed for its own pages."""
        token = made.link("athlete", mira).rpartition("/")[2]
        assert client.get(f"/practice/{token}").status_code == 403
        assert client.get(link.replace("/practice/", "/athlete/")).status_code == 403
        forged = made.link("practice", mira)
        assert client.get(forged).status_code == 410


class TestEverybody:
    def test_the_gravest_come_first_with_what_and_since_when(
        self, link: str, client: TestClient, thirty: Mapping[str, Athlete]
    ) -> None:
        """All thirty on one screen."""
        page = client.get(link).text
        order = names_in(page, thirty)
        assert len(order) == 30
        assert order[:7] == ["Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta"]
        assert set(order[7:11]) == {"Katja", "Ben", "Cem", "Dora"}
        assert order[11:14] == ["Henri", "Jonas", "Ines"]
        text = " ".join(told(page, "en").split())
        assert "Red flag Weakness in both legs since Fri 20 Feb" in text
        assert "Hurts 8 of 10, low back, strong pain, pain on more than one day" in text
        assert (
            "Warned 14.2 km, 1.6 × the longest of the 30 days before, mailed on Sat 21 Feb" in text
        )
        assert "No runs since Thu 29 Jan" in text
        assert "No data Strava since Wed 18 Feb" in text
        assert "Mail not delivered the last mail was refused since Sat 21 Feb" in text
        assert "Mail paused since Fri 13 Feb" in text

    def test_it_can_be_narrowed_to_one_thing(
        self, link: str, client: TestClient, thirty: Mapping[str, Athlete]
    ) -> None:
        """By the concerns that occur, each with its number; an unknown one shows everybody."""
        page = client.get(link).text
        assert "Red flag <span>2</span>" in page
        found = {
            concern: names_in(client.get(f"{link}?concern={concern}").text, thirty)
            for concern in ("flags", "hurts", "warned", "blind", "unreached", "paused", "none")
        }
        assert found["flags"] == ["Anna", "Bruno"]
        assert found["hurts"] == ["Anna", "Bruno", "Clara", "David"]
        assert found["warned"] == ["Elena", "Felix"]
        assert (found["blind"], found["unreached"], found["paused"]) == (
            ["Henri"],
            ["Jonas"],
            ["Ines"],
        )
        assert len(found["none"]) == 30

    def test_a_name_is_found_by_any_part_whatever_its_case(
        self, link: str, client: TestClient, thirty: Mapping[str, Athlete]
    ) -> None:
        """Combined with a concern, too; an empty result is stated."""
        assert names_in(client.get(f"{link}?name=BERG").text, thirty) == ["Anna"]
        assert names_in(client.get(f"{link}?name=zoë").text, thirty) == ["Zoë"]
        both = client.get(f"{link}?name=an&concern=warned").text
        assert names_in(both, thirty) == ["Felix"]
        assert "Nobody matches that." in client.get(f"{link}?name=nobody").text

    def test_many_are_shown_a_page_at_a_time(
        self, made: Instance, link: str, client: TestClient
    ) -> None:
        """A page number beyond the last shows the last page."""
        for number in range(AT_ONCE + 3):
            made.add(f"Athlete {number:03}")
        first, second = client.get(link).text, client.get(f"{link}?page=2").text
        assert first.count("<h3>") == AT_ONCE
        assert second.count("<h3>") == 3
        assert "Page 2 of 2" in second
        for wrong in ("9", "0", "-1", "x", "9" * 9, "²"):
            assert client.get(f"{link}?page={wrong}").status_code == 200
        assert client.get(f"{link}?page=9").text == second.replace("page=2", "page=2")

    def test_without_anybody_it_says_so(self, link: str, client: TestClient) -> None:
        assert "Nobody is here yet." in client.get(link).text

    def test_a_name_is_text_and_no_markup(
        self, made: Instance, link: str, client: TestClient
    ) -> None:
        """Nor is the search text."""
        made.add("<b>Bold</b>")
        page = client.get(f"{link}?name=<b>").text
        assert "<b>" not in page
        assert "&lt;b&gt;Bold" in page


class TestOneAthlete:
    def test_the_page_shows_what_the_practice_may_see(
        self, made: Instance, link: str, client: TestClient, mira: Athlete
    ) -> None:
        """Answers, findings and whether they were mailed, weeks, runs, sources, address."""
        run_winter(made, mira)
        page = client.get(f"{link}/athletes/{mira.link_id}").text
        text = " ".join(told(page, "en").split())
        for said in (
            "Mira", "mira@example.org", "14.2 km, 1.6 × the longest of the 30 days before",
            "mailed on Sat 21 Feb", "no mail: the run was 5 days ago", "Sat 21 Feb 14.2 km",
            "Strava fails", "Next run, at most",
        ):  # fmt: skip
            assert said in text, said
        for link_of_theirs in ("/athlete/", "/calendar/", "/checkin/", "/connect/"):
            assert link_of_theirs not in page

    def test_whoever_should_be_seen_has_no_plan_there(
        self, link: str, client: TestClient, thirty: Mapping[str, Athlete]
    ) -> None:
        page = client.get(f"{link}/athletes/{thirty['Anna'].link_id}").text
        assert "No run is planned while this stands." in page
        assert "Next run, at most" not in page

    def test_who_is_not_there_is_not_found(
        self, link: str, client: TestClient, mira: Athlete
    ) -> None:
        """Nor by number."""
        for wrong in ("nobody", str(mira.id), ""):
            assert client.get(f"{link}/athletes/{wrong}").status_code == 404

    def test_mail_is_paused_and_goes_out_again(
        self, made: Instance, link: str, client: TestClient, mira: Athlete
    ) -> None:
        """Pausing twice keeps the first date. A GET changes nothing."""
        here = f"{link}/athletes/{mira.link_id}"
        assert client.get(f"{here}/pause").status_code == 405
        for _ in range(2):
            answer = client.post(f"{here}/pause", data={"pause": "yes"})
            assert answer.headers["location"] == f"{here}?saved=yes"
            made.clock.now += timedelta(hours=1)
        assert made.athlete(mira).paused_at == NOW
        assert "Paused since Saturday 21 February." in client.get(here).text
        client.post(f"{here}/pause", data={"pause": "no"})
        assert made.athlete(mira).paused_at is None
        for wrong in ({}, {"pause": "perhaps"}):
            assert client.post(f"{here}/pause", data=wrong).status_code == 400

    def test_copies_are_turned_off_and_on_while_the_athlete_agrees(
        self, made: Instance, link: str, client: TestClient, mira: Athlete
    ) -> None:
        """Without consent there's no button, and a forged form does nothing."""
        here = f"{link}/athletes/{mira.link_id}"
        assert "hasn’t agreed" in client.get(here).text
        assert client.post(f"{here}/copies", data={"copies": "yes"}).status_code == 400
        with made.store.transaction() as tx:
            tx.therapists.save_consent(mira, agreed_at=NOW)
        assert "Every therapist gets one by mail." in client.get(here).text
        client.post(f"{here}/copies", data={"copies": "no"})
        assert "The practice has turned them off." in client.get(here).text
        client.post(f"{here}/copies", data={"copies": "yes"})
        assert "Every therapist gets one by mail." in client.get(here).text

    def test_without_the_setting_nothing_is_said_of_copies(
        self, made: Instance, link: str, mira: Athlete
    ) -> None:
        with made.client() as client:
            assert "Copies" not in client.get(f"{link}/athletes/{mira.link_id}").text


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_the_pages_speak_the_therapists_language_to_the_last_word(
    made: Instance, client: TestClient, thirty: Mapping[str, Athlete], language: str
) -> None:
    """Whatever the browser's and the athlete's languages."""
    client.headers["accept-language"] = "fr" if language != "fr" else "de"
    page = practice_link(made, add_therapist(made, language=language))
    with made.store.transaction() as tx:
        tx.therapists.save_consent(thirty["Elena"], agreed_at=NOW)
    run_winter(made, thirty["Nils"])
    with made.store.transaction() as tx:
        failing = SourceState("failing", NOW, REVOKED)
        tx.progress.save_source(thirty["Nils"], "strava", failing)
    wrong = []
    shown = ("Anna", "Clara", "Elena", "Greta", "Henri", "Ines", "Jonas", "Ben", "Nils")
    for path in (
        page, f"{page}?name=nobody", f"{page}?concern=flags", f"{page}/athletes/nobody",
        *(f"{page}/athletes/{thirty[first].link_id}" for first in shown),
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.headers["content-language"] == language, path
        text = told(answer.text, language)
        for one in thirty.values():
            text = text.replace(one.name, "X")
        wrong += [(path[len(page) :], fault) for fault in faults(text, language)]
    assert wrong == []


def test_who_did_what_is_logged_without_a_name(
    made: Instance, link: str, client: TestClient, mira: Athlete, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="worker.web")
    client.post(f"{link}/athletes/{mira.link_id}/pause", data={"pause": "yes"})
    assert caplog.messages == [f"web: therapist 1 pauses mail about athlete {mira.id}"]


class TestAdding:
    @pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
    def test_the_therapists_language_is_chosen_beforehand(
        self, made: Instance, client: TestClient, language: str
    ) -> None:
        """Most patients speak it."""
        page = client.get(practice_link(made, add_therapist(made, language=language))).text
        assert f'<option value="{language}" lang="{language}" selected>' in page

    def test_an_athlete_is_added_and_invited(
        self, made: Instance, link: str, client: TestClient, thirty: Mapping[str, Athlete]
    ) -> None:
        """In the practice's usual zone and the chosen language, by the first mail."""
        form = {"name": " Pia Lund ", "email": "pia@example.org", "language": "fr", "invite": "yes"}
        answer = client.post(f"{link}/athletes", data=form)
        assert answer.status_code == 303
        page = client.get(answer.headers["location"]).text
        assert "The invitation is on its way." in page
        with made.store.reading() as tx:
            pia = tx.athletes.named("Pia Lund")
            assert pia is not None
            (mail,) = [one for one in tx.outbox.unsent() if one.athlete_id == pia.id]
        assert (pia.email, pia.language, pia.timezone) == ("pia@example.org", "fr", "Europe/Berlin")
        assert mail.key == f"welcome:{pia.id}"
        assert mail.recipient == "pia@example.org"

    def test_without_the_box_no_mail_goes(
        self, made: Instance, link: str, client: TestClient
    ) -> None:
        """And the page says so; without other athletes no zone is usual."""
        form = {"name": "Pia", "email": "pia@example.org"}
        answer = client.post(f"{link}/athletes", data=form)
        assert "No mail was sent." in client.get(answer.headers["location"]).text
        with made.store.reading() as tx:
            assert tx.outbox.unsent() == ()
            (pia,) = tx.athletes.all()
        assert (pia.language, pia.timezone) == ("", "UTC")

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ({"name": "", "email": "pia@example.org"}, "A name has 1 to 80 characters"),
            ({"name": "../Pia", "email": "pia@example.org"}, "no slash"),
            ({"name": "Pia", "email": "pia"}, "is not an address"),
            ({"name": "Pia", "email": "a@example.org\r\nBcc: b@example.org"}, "is not an address"),
            (
                {"name": "mira", "email": "pia@example.org"},
                "There is an athlete called Mira already",
            ),
        ],
    )
    def test_what_can_not_be_used_is_said_and_asked_again(
        self, made: Instance, link: str, client: TestClient, mira: Athlete,
        form: dict[str, str], said: str,
    ) -> None:  # fmt: skip
        """The form keeps its values; nobody is added and nothing mailed."""
        answer = client.post(f"{link}/athletes", data={**form, "invite": "yes"})
        assert answer.status_code == 400
        assert said in answer.text
        assert answer.text.index('role="alert"') < answer.text.index('role="search"')
        with made.store.reading() as tx:
            assert tx.athletes.all() == (mira,)
            assert tx.outbox.unsent() == ()

    def test_a_link_in_strange_hands_does_not_mail_the_world(
        self, made: Instance, link: str, client: TestClient
    ) -> None:
        """Sixty at once, then one every ten minutes, whichever link is used."""
        other = practice_link(made, add_therapist(made, "Wim"))
        for number in range(61):
            form = {"name": f"P {number}", "email": "p@example.org", "invite": "yes"}
            answer = client.post(f"{link}/athletes", data=form)
        assert answer.status_code == 429
        form = {"name": "Q", "email": "q@example.org", "invite": "yes"}
        assert client.post(f"{other}/athletes", data=form).status_code == 429
        made.clock.now += timedelta(minutes=10)
        assert client.post(f"{other}/athletes", data=form).status_code == 303
        with made.store.reading() as tx:
            assert len(tx.outbox.unsent()) == 61

    @pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
    def test_it_is_said_in_the_therapists_language(
        self, made: Instance, client: TestClient, mira: Athlete, language: str
    ) -> None:
        """Including the reasons for errors."""
        page = practice_link(made, add_therapist(made, language=language))
        for form in (
            {"name": "", "email": "x"}, {"name": "a/b", "email": "x"}, {"name": "A", "email": "x"},
            {"name": "Mira", "email": "pia@example.org"},
        ):  # fmt: skip
            text = told(client.post(f"{page}/athletes", data=form).text, language)
            assert faults(text, language) == []
        done = client.post(f"{page}/athletes", data={"name": "P", "email": "p@example.org"})
        for how in ("added", "invited"):
            text = told(client.get(done.headers["location"] + f"&{how}=yes").text, language)
            assert faults(text, language) == []


class TestTheAthletesSide:
    def test_the_page_says_who_sees_it_and_asks_for_consent(
        self, made: Instance, client: TestClient, mira: Athlete
    ) -> None:
        """Given and withdrawn there; without a therapist the practice isn't mentioned."""
        here = made.link("athlete", mira)
        assert "Your practice" not in client.get(here).text
        add_therapist(made)
        assert "Your practice (Dr. Vera Sand) has a page" in client.get(here).text
        client.post(f"{here}/copies", data={"agree": "yes"})
        assert (
            "You agreed to copies of your warnings and red flags on Saturday 21 February."
            in client.get(here).text
        )
        assert agreed(made, mira)
        client.post(f"{here}/copies", data={"agree": "no"})
        assert not agreed(made, mira)
        assert client.post(f"{here}/copies", data={}).status_code == 400

    def test_the_first_questions_ask_for_it_too(
        self, made: Instance, client: TestClient, mira: Athlete
    ) -> None:
        """If the practice gets copies; an unticked box withdraws consent."""
        add_therapist(made)
        here = made.link("welcome", mira)
        assert 'name="copies"' in client.get(here).text
        assert 'name="copies"' not in made.client().get(here).text
        answers = {"units": "km", "wants": "alert"}
        client.post(here, data=answers | {"copies_asked": "yes", "copies": "yes"})
        assert agreed(made, mira)
        client.post(here, data=answers)  # a page that didn't ask for it
        assert agreed(made, mira)
        client.post(here, data=answers | {"copies_asked": "yes"})
        assert not agreed(made, mira)

    def test_a_pause_is_said_there_and_can_be_ended(
        self, made: Instance, link: str, client: TestClient, mira: Athlete
    ) -> None:
        here = made.link("athlete", mira)
        client.post(f"{link}/athletes/{mira.link_id}/pause", data={"pause": "yes"})
        assert "Mail to you has been paused since Saturday 21 February" in client.get(here).text
        client.post(f"{here}/resume")
        assert made.athlete(mira).paused_at is None
        assert "has been paused" not in client.get(here).text


def agreed(made: Instance, athlete: Athlete) -> bool:
    with made.store.reading() as tx:
        return tx.therapists.copies(athlete).agreed_at is not None
