# ruff: noqa: INP001  a script beside the package, not a part of it
"""Draws docs/images/way-light.svg and way-dark.svg: how a run becomes a mail."""

from pathlib import Path

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = {
    "light": {"ink": "#1f2933", "soft": "#5f6c7b", "box": "#ffffff", "accent": "#0b6e4f"},
    "dark": {"ink": "#f0f3f6", "soft": "#aab4c0", "box": "#161b22", "accent": "#56d4a4"},
}
STATIONS = (
    ("Phone or watch", "saves a run as a file", "phone"),
    ("A watched folder", "or a connected service", "folder"),
    ("Easeback", "compares with past weeks", "chart"),
    ("Mail", "in time to ease off", "letter"),
)
SHAPES = {
    "phone": '<rect x="-13" y="-24" width="26" height="48" rx="5"/><path d="M-4 17h8"/>',
    "folder": '<path d="M-27 -16h18l6 7h30v31h-54z"/>',
    "chart": '<path d="M-27 22v-14M-13 22v-20M1 22v-17M15 22v-44"/>'
    '<path d="M-33 -2h62" stroke-dasharray="4 4"/>',
    "letter": '<rect x="-29" y="-20" width="58" height="40" rx="4"/>'
    '<path d="M-29 -16l29 22 29-22"/>',
}
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  font-family="system-ui, sans-serif" text-anchor="middle">
<title>From a run to a mail: phone, folder, Easeback, mail</title>"""
ARROW = '<path d="M{x} 58h46m-9 -8l9 8l-9 8" fill="none" stroke="{accent}" stroke-width="3"/>'
STATION = """<g transform="translate({x} 58)" fill="{box}" stroke="{ink}" stroke-width="2.5"
  stroke-linejoin="round" stroke-linecap="round">{shape}</g>
<text x="{x}" y="122" font-size="17" font-weight="600" fill="{ink}">{name}</text>
<text x="{x}" y="146" font-size="14" fill="{soft}">{told}</text>"""
STEP, WIDTH, HEIGHT = 220, 880, 170


def drawing(colour: dict[str, str]) -> str:
    """The whole picture in the given colours."""
    parts = [HEAD.format(width=WIDTH, height=HEIGHT)]
    for number, (name, told, shape) in enumerate(STATIONS):
        x = STEP // 2 + number * STEP
        if number:
            parts.append(ARROW.format(x=x - 136, **colour))
        parts.append(STATION.format(x=x, name=name, told=told, shape=SHAPES[shape], **colour))
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    for name, colour in COLOURS.items():
        (IMAGES / f"way-{name}.svg").write_text(drawing(colour), "utf-8")
