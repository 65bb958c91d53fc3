"""The command `athlete diary`: how it felt, as the athlete answered."""

from datetime import date
from typing import Annotated

import typer

from worker.cli.shell import JsonOption, shell_of, the_athlete


def diary(
    context: typer.Context,
    athlete: Annotated[str | None, typer.Argument(metavar="[ATHLETE]", help="Whose diary.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The pain diary: one answer a day, oldest first."""
    shell = shell_of(context)
    with shell.store.reading() as tx:
        who = the_athlete(tx, athlete, how="by its name")
        answers = tx.checkins.since(who, date.min)
    if as_json:
        shell.print_json(
            [
                {
                    "day": answer.day.isoformat(),
                    "feels": answer.feels,
                    "areas": list(answer.areas),
                    "level": answer.level,
                    "flags": list(answer.flags),
                }
                for answer in answers
            ]
        )
        return
    if not answers:
        shell.say(f"{who.name} hasn't answered yet: each alert asks how it feels")
        return
    from rich.table import Table

    table = Table("day", "feels", "of 10", "where", "warning signs", box=None)
    for answer in answers:
        table.add_row(
            f"{answer.day:%a} {answer.day}",
            answer.feels,
            "–" if answer.level is None else str(answer.level),
            ", ".join(answer.areas),
            ", ".join(answer.flags),
        )
    shell.out.print(table)
