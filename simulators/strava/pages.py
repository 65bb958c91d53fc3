"""The consent page of the simulated Strava."""

from html import escape

ALWAYS = "read"
MEANS = {
    "activity:read": "View your activities that others may see",
    "activity:read_all": "View your activities, those only you can see included",
}


def consent(asked: dict[str, str], firstname: str) -> str:
    """The form, with a tick box for each requested scope and a way to decline."""
    wanted = [s for s in asked.get("scope", "").split(",") if s and s != ALWAYS]
    boxes = "".join(
        f'<p><label><input type="checkbox" name="scope:{escape(s)}" checked> '
        f"{escape(MEANS.get(s, s))}</label></p>"
        for s in wanted
    )
    kept = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked.get(name, ""))}">'
        for name in ("redirect_uri", "state")
    )
    return (
        '<!doctype html><html lang="en"><title>Authorize</title>'
        f"<h1>{escape(firstname)}, may Easeback see your activities?</h1>"
        f'<form method="post" action="/oauth/accept">{kept}{boxes}'
        '<button name="answer" value="authorize">Authorize</button> '
        '<button name="answer" value="cancel">Cancel</button></form></html>'
    )
