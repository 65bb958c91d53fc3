"""The commands by name. A command's module is loaded when it is called, or help is asked for."""

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
    "runs": "runs:runs_commands",
    "webhook": "connect:webhook",
    "outbox": "outbox:outbox_commands",
}
"""Each command's module in `worker.cli`, and its function or group there; in the order of help."""

# These also take `--SOURCE`, an older way to name a service, and the services aren't known yet.
_TAKE_UNKNOWN_OPTIONS = ("connect", "disconnect")


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Their names alone, for help to list and for typos to be compared with.
        names: dict[str, Any] = dict.fromkeys(_WHERE)
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  typer's
        return _make(cmd_name, _WHERE[cmd_name]) if cmd_name in _WHERE else None


def _make(name: str, where: str) -> Any:
    module, _, attribute = where.partition(":")
    found = getattr(import_module(f"worker.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {"ignore_unknown_options": name in _TAKE_UNKNOWN_OPTIONS}
    alone.command(name, context_settings=settings)(found)
    return typer.main.get_command(alone)
