"""`connect`, `disconnect` and `webhook`: which service and athlete the arguments mean."""

from pathlib import Path

import pytest

from tests.command import easeback

APPLICATION = {"EASEBACK_STRAVA__CLIENT_ID": "1", "EASEBACK_STRAVA__CLIENT_SECRET": "secret"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two athletes, one of them named like a service; nobody is connected."""
    home = tmp_path_factory.mktemp("home")
    for name in ("Mira", "strava"):
        mail = f"{name.lower()}@example.org"
        done = easeback("athlete", "add", "--name", name, "--email", mail, cwd=home)
        assert done.returncode == 0, done.stderr
    return home


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("Mira", "Mira is disconnected from Strava"),
        ("strava Mira", "Mira is disconnected from Strava"),
        ("strava strava", "strava is disconnected from Strava"),
        ("garmin strava", "strava is disconnected from Garmin; the key itself is deleted at"),
        ("Garmin Mira", "Mira is disconnected from Garmin"),
        ("--garmin Mira", "Mira is disconnected from Garmin"),
        ("strava --garmin", "strava is disconnected from Garmin"),
        ("intervals Mira", "Mira is disconnected from intervals.icu; the key itself is deleted at"),
    ],
)
def test_one_word_is_a_service_or_an_athlete_and_two_are_both(
    home: Path, words: str, said: str
) -> None:
    """An athlete named like a service can be given after the service."""
    done = easeback("disconnect", *words.split(), "--yes", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("strava", "there are several athletes, say which by its name: Mira, strava"),
        ("polar Mira", "no service is called 'polar': there are strava, garmin, intervals"),
        ("--polar", "No such option: --polar (see `easeback connect --help`)"),
        ("--garmin Mira strava", "Got unexpected extra argument"),
        ("garmin Mia", "no athlete is called 'Mia'; did you mean 'Mira'?"),
        ("strava Mira --expires 90", "--expires goes with --garmin: a consent at Strava has no"),
        ("intervals Mira --expires 90", "--expires goes with --garmin: a key at intervals.icu has"),
    ],
)
def test_words_that_mean_nothing_are_wrong_usage(home: Path, words: str, said: str) -> None:
    """Exit status 2, in one line."""
    done = easeback("connect", *words.split(), cwd=home, env=APPLICATION)
    assert done.returncode == 2
    assert done.stderr.startswith(f"easeback: {said}")
    assert done.stderr.count("\n") == 1


def test_a_service_that_is_off_is_said_with_what_to_set(home: Path) -> None:
    """Exit status 2; without a named service, another way to connect is mentioned as well."""
    off = "easeback: Strava is off: set [strava] client_id"
    for words in (("strava", "Mira"), ("Mira",)):
        done = easeback("connect", *words, cwd=home)
        assert done.returncode == 2
        assert done.stderr.startswith(off)
        assert done.stderr.endswith("or intervals.icu, with --intervals\n")


def test_a_host_that_is_not_here_is_said_in_one_line(home: Path) -> None:
    """The page for the consent can't be served."""
    env = APPLICATION | {"EASEBACK_WEB__HOST": "192.0.2.1"}
    done = easeback("connect", "strava", "Mira", "--no-open", cwd=home, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("easeback: [web] host 192.0.2.1 can't be listened on")
    assert done.stderr.count("\n") == 1


def test_only_a_service_with_a_webhook_can_be_subscribed_to(home: Path) -> None:
    """Exit status 2, with a list of those that have one."""
    done = easeback("webhook", "list", "garmin", cwd=home)
    assert done.returncode == 2
    assert "no service called 'garmin' has a webhook: there are strava" in done.stderr
    assert "Strava is off" in easeback("webhook", "add", cwd=home).stderr
