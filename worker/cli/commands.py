"""The commands by name. A command's module is imported when it is called, or for help."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

_WHERE: Mapping[str, str] = {
    "demo": "demo:play_demo",
    "init": "init:init",
    "run": "run:run_command",
    "once": "run:once",
    "import": "imports:import_history",
    "move-to": "move:move_to",
    "forget": "athletes:forget",
    "alerts": "reports:list_alerts",
    "explain": "explain:explain",
    "ceiling": "plan:show_ceiling",
    "plan": "plan:show_plan",
    "open": "open_page:open_page",
    "status": "status:status",
    "backtest": "backtest:backtest",
    "rotate-keys": "connect:rotate_keys",
    "preview": "preview:preview",
    "doctor": "doctor:doctor",
    "backup": "backup:backup",
    "restore": "backup:restore_backup",
    "connect": "connect:connect",
    "disconnect": "connect:disconnect",
    "athlete": "athletes:athlete_commands",
    "therapist": "therapists:therapist_commands",
    "runs": "runs:runs_commands",
    "webhook": "connect:webhook",
    "outbox": "outbox:outbox_commands",
}
"""Each command's module in `worker.cli`, and its function or group there, in the order of help."""

EXAMPLES: Mapping[str, str] = {
    "demo": "--no-open",
    "init": "",
    "run": "",
    "once": "--as-of 2026-03-07T08:00:00Z",
    "import": "export_12345.zip --athlete Anna",
    "move-to": "postgresql+psycopg://easeback@db.example.org/easeback",
    "forget": "Anna",
    "alerts": "--athlete Anna",
    "explain": "2026-03-07",
    "ceiling": "--json",
    "plan": "--race-date 2027-05-09 --race-km 21.1",
    "open": "Anna",
    "status": "--json",
    "rotate-keys": "",
    "backtest": "activities.csv",
    "preview": "alert --no-open",
    "doctor": "--mail-to you@example.org",
    "backup": "easeback-copy.db",
    "restore": "easeback-copy.db",
    "connect": "garmin Anna",
    "disconnect": "strava Anna",
    "athlete add": '--name Anna --email anna@example.org --weekly "mon 07:00"',
    "athlete list": "",
    "athlete set": "Anna --pain buttock --language de",
    "athlete remove": "Anna",
    "athlete diary": "Anna",
    "athlete relink": "Anna",
    "athlete pause": "Anna",
    "athlete resume": "Anna",
    "therapist add": '"Dr. Who" --mail who@example.org',
    "therapist list": "",
    "therapist relink": '"Dr. Who"',
    "therapist remove": '"Dr. Who"',
    "runs": "--all",
    "runs exclude": "17",
    "runs include": "17",
    "runs correct": "17 --km 7.2",
    "runs add": "--date 2026-03-07 --km 8 --minutes 50",
    "webhook add": "strava",
    "webhook list": "strava",
    "webhook remove": "strava",
    "outbox list": "",
    "outbox retry": "12",
    "outbox hold": "12",
    "outbox release": "12",
    "outbox drop": "12",
}
"""The arguments of the example at the end of each command's help."""

# These also accept `--SOURCE`, an older way to name a service. The services aren't loaded here.
_TAKE_UNKNOWN_OPTIONS = ("connect", "disconnect")


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Only names, for the help to list and to suggest for typing errors.
        names: dict[str, Any] = dict.fromkeys(_WHERE)
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  typer's
        if cmd_name not in _WHERE:
            return None
        module, _, attribute = _WHERE[cmd_name].partition(":")
        found = getattr(import_module(f"worker.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = cmd_name
            _end_with_example(group, cmd_name)
            for each, command in group.commands.items():
                _end_with_example(command, f"{cmd_name} {each}")
            return group
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings = {"ignore_unknown_options": cmd_name in _TAKE_UNKNOWN_OPTIONS}
        alone.command(cmd_name, context_settings=settings)(found)
        command = typer.main.get_command(alone)
        _end_with_example(command, cmd_name)
        return command


def _end_with_example(command: Any, name: str) -> None:
    if name in EXAMPLES:
        command.epilog = f"Example: easeback {name} {EXAMPLES[name]}".rstrip()
