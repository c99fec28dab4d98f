"""Codes of languages: two letters as we write them (ISO 639-1), three as containers do (ISO 639-2)."""

from __future__ import annotations

# fmt: off
_LONG = {
    "ar": "ara", "bg": "bul", "ca": "cat", "cs": "cze", "cy": "wel", "da": "dan", "de": "ger", "el": "gre", "en": "eng",
    "eo": "epo", "es": "spa", "et": "est", "eu": "baq", "fa": "per", "fi": "fin", "fr": "fre", "ga": "gle", "gl": "glg",
    "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind", "is": "ice", "it": "ita", "ja": "jpn", "ko": "kor",
    "lt": "lit", "lv": "lav", "mk": "mac", "ms": "may", "nb": "nob", "nl": "dut", "nn": "nno", "no": "nor", "pl": "pol",
    "pt": "por", "ro": "rum", "ru": "rus", "sk": "slo", "sl": "slv", "sq": "alb", "sr": "srp", "sv": "swe", "th": "tha",
    "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie", "zh": "chi",
}
_TERMINOLOGICAL = {
    "cym": "cy", "ces": "cs", "deu": "de", "ell": "el", "eus": "eu", "fas": "fa", "fra": "fr", "isl": "is", "mkd": "mk",
    "msa": "ms", "nld": "nl", "ron": "ro", "slk": "sk", "sqi": "sq", "zho": "zh",
}
# fmt: on
_SHORT = {long: short for short, long in _LONG.items()} | _TERMINOLOGICAL


def long_code(language: str) -> str:
    """Return the code that containers have for a language; as it is where there is none."""
    return _LONG.get(language, language)


def short_code(tag: str) -> str:
    """Return the code that we have for the tag of a track, as `spa` or `es-MX`; as it is where there is none."""
    first = tag.lower().partition("-")[0]
    return _SHORT.get(first, first)


def is_code(text: str) -> bool:
    """Tell whether this is a code of a language, and not any two or three letters."""
    return text in _LONG or text in _SHORT
