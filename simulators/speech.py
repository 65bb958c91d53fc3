"""Detects the language of a text by its most common small words and its punctuation.

`faults(text, language)` reports words of another language, numbers in another language's format
and, in French, marks without a space before them. Names are ignored.
"""

import re

NAMES = (
    "British Journal of Sports Medicine", "Frandsen et al.", "Nielsen et al.", "Personal API",
    "Developer Settings", "Spring half marathon", "Garmin Connect",
    "easeback connect", "[web] token", "Strava", "intervals.icu", "von Hohenlohe",
    "zu Ratibor und", "Corvey the", "Yann Le Gall",
)  # fmt: skip

WORDS = {
    "en": "the and your you with this that of from not were before week run runs is are it "
    "for what which how when there nothing has been no longer until",
    "de": "der das und nicht dein deine deinen deiner dich ist mit von für wenn ein eine auf "
    "zu dem den im wird wurde werden nach vor lauf woche kein keine noch oder zum",
    "fr": "le la les une est pas pour avec dans ton ta tes que qui sur au aux ce cette tu "
    "te ne plus course semaine aucun aucune ou par",
}
"""Words of each language that don't occur in the others."""

_OWN_AT_LEAST = 3
_ADDRESS = re.compile(r"https?://\S+|\S+@\S+|\S*/\S*/\S*")
_WORD = re.compile(r"[^\W\d_]+")
_POINT = re.compile(r"\d\.\d(?!\d\d\b)")
_COMMA = re.compile(r"\d,\d(?!\d\d\b)")
_LOOSE = re.compile(r"[\w)%»\"…] ?[;!?»]|\w :|\w:(?=\s|$)|«(?!\u202f)|[ \u00a0][:;!?»%]")


def faults(text: str, language: str) -> list[str]:
    """Everything in this visible text that isn't in `language`, as sentences."""
    text = re.sub(r"[ \t\n]+", " ", text)
    text = re.sub("|".join(map(re.escape, NAMES)), "X", text, flags=re.IGNORECASE)
    text = _ADDRESS.sub("X", text)
    spoken = [word.lower() for word in _WORD.findall(text)]
    own = sum(word in set(WORDS[language].split()) for word in spoken)
    found = [] if own >= _OWN_AT_LEAST else [f"only {own} small words of {language}"]
    for other, words in WORDS.items():
        if other != language:
            foreign = sorted(set(spoken) & set(words.split()))
            found += [f"{other}: {word!r}" for word in foreign]
    wrong = _COMMA if language == "en" else _POINT
    found += [f"a number by another habit: {number}" for number in wrong.findall(text)]
    if language == "fr":
        found += [f"no narrow space: {text[max(0, at.start() - 20) : at.end() + 5]!r}"
                  for at in _LOOSE.finditer(text)]  # fmt: skip
    return found


def told(html: str, language: str) -> str:
    """The text of a page or mail, without what is marked as another language."""
    page = re.sub(r"<(style|script)\b.*?</\1>|<!--.*?-->", " ", html, flags=re.DOTALL)
    marked = r'<(\w+)\b[^>]*\blang="(?!LANGUAGE")[^"]*"[^>]*>[^<]*</\1>'.replace(
        "LANGUAGE", language
    )
    page = re.sub(marked, " ", page)
    spoken = re.findall(r'\b(?:alt|title|aria-label)="([^"]*)"', page)
    return _unescaped(" ".join([re.sub(r"<[^>]+>", " ", page), *spoken]))


def _unescaped(text: str) -> str:
    from html import unescape

    return unescape(text)
