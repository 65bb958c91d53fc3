"""The operator's templates can't leave their sandbox: attempts are disabled, mail is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from simulators import mail_facts as made
from worker.notify import Composer
from worker.notify.render import SHIPPED

ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ words.__init__.__globals__ }}",
    "{{ tenths.__globals__ }}",
    "{{ tenths.__code__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.environ }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(name) }}",
    "{{ ('{0.__class__}' | format(name)) ~ (name | attr('__class__')) }}",
    "{{ (name | attr('format')).__self__ }}",
    "{{ ''['__class__'] }}",
    "{% set words.en = 1 %}{{ words.__dict__.clear() }}",
    "{% include '/etc/passwd' %}",
    "{% include '../../../../../../etc/passwd' %}",
    "{% include '../config/settings.py' %}",
    "{% import 'os' as os %}{{ os.getcwd() }}",
    "{% extends '/etc/passwd' %}",
    "{{ range(999999999) | list }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ config }}{{ request }}",
)


def put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def shipped() -> str:
    return Composer().weekly(made.weekly_facts()).text


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_template_gets_out_of_its_sandbox(tmp_path: Path, escape: str, shipped: str) -> None:
    """It's disabled with the reason, and the athlete gets the shipped mail."""
    put(tmp_path, "weekly/body.txt", f"escaped {escape}")
    composer = Composer(templates=tmp_path)
    text = composer.weekly(made.weekly_facts()).text
    assert [line.partition(" ")[0].rstrip(":") for line in composer.broken] == ["weekly/body.txt"]
    assert text == shipped


def test_no_name_of_an_athlete_is_run_as_a_template(tmp_path: Path) -> None:
    """External text stays text in every part of a mail."""
    from dataclasses import replace

    facts = made.weekly_facts()
    facts = replace(facts, athlete=replace(facts.athlete, name="{{ 7 * 7 }}{% raw %}"))
    email = Composer().weekly(facts)
    assert "49" not in email.subject
    assert "{{ 7 * 7 }}" in email.text


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server that records its requests."""
    asked: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_inlining_styles_fetches_nothing(tmp_path: Path) -> None:
    """A style sheet named by a template isn't fetched, and neither is a local file."""
    with listener() as (address, asked):
        body = (SHIPPED / "weekly" / "body.html").read_text("utf-8")
        sheets = (
            f'<link rel="stylesheet" href="{address}/a.css">'
            f"<style>@import url({address}/b.css); p {{ color: red }}</style>"
            f'<link rel="stylesheet" href="file:///etc/passwd">'
        )
        put(tmp_path, "weekly/body.html", sheets + body)
        html = Composer(templates=tmp_path).weekly(made.weekly_facts()).html
        assert asked == []
        assert "root:" not in html
