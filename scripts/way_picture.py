# ruff: noqa: INP001  a script beside the package, not a part of it
"""Draws docs/images/way-light.svg and way-dark.svg: how a run becomes a mail."""

from pathlib import Path

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = {
    "light": {"ink": "#1f2933", "soft": "#5f6c7b", "box": "#ffffff", "accent": "#0b6e4f"},
    "dark": {"ink": "#f0f3f6", "soft": "#aab4c0", "box": "#161b22", "accent": "#56d4a4"},
}
STATIONS = (
    ("Phone or watch", "saves a run as a file", '<rect x="-13" y="-24" width="26" height="48" '
     'rx="5"/><path d="M-4 17h8"/>'),
    ("A watched folder", "or a service that you connect", '<path d="M-27 -16h18l6 7h30v31h-54z"/>'),
    ("Easeback", "compares it with the weeks before", '<path d="M-27 22v-14M-13 22v-20M1 22v-17'
     'M15 22v-44"/><path d="M-33 -2h62" stroke-dasharray="4 4"/>'),
    ("Mail", "while there is time to ease off", '<rect x="-29" y="-20" width="58" height="40" '
     'rx="4"/><path d="M-29 -16l29 22 29-22"/>'),
)  # fmt: skip
STEP, WIDTH, HEIGHT = 220, 880, 170


def drawing(colour: dict[str, str]) -> str:
    """The whole picture in these colours."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" text-anchor="middle">',
        "<title>From a run to a mail: phone, folder, Easeback, mail</title>",
    ]
    for number, (name, told, shape) in enumerate(STATIONS):
        x = STEP // 2 + number * STEP
        if number:
            parts.append(
                f'<path d="M{x - 136} 58h46m-9 -8l9 8l-9 8" fill="none" '
                f'stroke="{colour["accent"]}" stroke-width="3"/>'
            )
        parts += [
            f'<g transform="translate({x} 58)" fill="{colour["box"]}" stroke="{colour["ink"]}" '
            f'stroke-width="2.5" stroke-linejoin="round" stroke-linecap="round">{shape}</g>',
            f'<text x="{x}" y="122" font-size="17" font-weight="600" fill="{colour["ink"]}">'
            f"{name}</text>",
            f'<text x="{x}" y="146" font-size="13" fill="{colour["soft"]}">{told}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    for name, colour in COLOURS.items():
        (IMAGES / f"way-{name}.svg").write_text(drawing(colour), "utf-8")
