"""Codes of languages: two letters as we write them (ISO 639-1), three as containers do (ISO 639-2)."""

from __future__ import annotations

import re

# fmt: off
_LONG = {
    "af": "afr", "am": "amh", "ar": "ara", "as": "asm", "az": "aze", "be": "bel", "bg": "bul", "bn": "ben", "bo": "tib",
    "br": "bre", "bs": "bos", "ca": "cat", "cs": "cze", "cy": "wel", "da": "dan", "de": "ger", "el": "gre", "en": "eng",
    "eo": "epo", "es": "spa", "et": "est", "eu": "baq", "fa": "per", "fi": "fin", "fo": "fao", "fr": "fre", "fy": "fry",
    "ga": "gle", "gd": "gla", "gl": "glg", "gu": "guj", "ha": "hau", "he": "heb", "hi": "hin", "hr": "hrv", "ht": "hat",
    "hu": "hun", "hy": "arm", "id": "ind", "ig": "ibo", "is": "ice", "it": "ita", "ja": "jpn", "jv": "jav", "ka": "geo",
    "kk": "kaz", "km": "khm", "kn": "kan", "ko": "kor", "ku": "kur", "ky": "kir", "la": "lat", "lb": "ltz", "ln": "lin",
    "lo": "lao", "lt": "lit", "lv": "lav", "mg": "mlg", "mi": "mao", "mk": "mac", "ml": "mal", "mn": "mon", "mr": "mar",
    "ms": "may", "mt": "mlt", "my": "bur", "nb": "nob", "ne": "nep", "nl": "dut", "nn": "nno", "no": "nor", "oc": "oci",
    "or": "ori", "pa": "pan", "pl": "pol", "ps": "pus", "pt": "por", "ro": "rum", "ru": "rus", "rw": "kin", "sd": "snd",
    "si": "sin", "sk": "slo", "sl": "slv", "sn": "sna", "so": "som", "sq": "alb", "sr": "srp", "su": "sun", "sv": "swe",
    "sw": "swa", "ta": "tam", "te": "tel", "tg": "tgk", "th": "tha", "tk": "tuk", "tl": "tgl", "tr": "tur", "tt": "tat",
    "uk": "ukr", "ur": "urd", "uz": "uzb", "vi": "vie", "xh": "xho", "yi": "yid", "yo": "yor", "zh": "chi", "zu": "zul",
}
_TERMINOLOGICAL = {
    "bod": "bo", "ces": "cs", "cym": "cy", "deu": "de", "ell": "el", "eus": "eu", "fas": "fa", "fil": "tl", "fra": "fr",
    "hye": "hy", "isl": "is", "kat": "ka", "mkd": "mk", "mri": "mi", "msa": "ms", "mya": "my", "nld": "nl", "ron": "ro",
    "slk": "sk", "sqi": "sq", "zho": "zh",
}
# fmt: on
_TAG = re.compile(r"([a-z]{2,3})(?:-[a-z0-9]{2,8})*")
"""As in BCP 47 (RFC 5646, section 2.1), in lower case: a language, and what tells more of it (`pt-br`, `zh-hans`)."""
_SHORT = {long: short for short, long in _LONG.items()} | _TERMINOLOGICAL


def long_code(language: str) -> str:
    """Return the code that containers have for a language; as it is where there is none."""
    return _LONG.get(language, language)


def short_code(tag: str) -> str:
    """Return the code that we have for the tag of a track, as `spa` or `es-MX`; as it is where there is none."""
    first = tag.lower().partition("-")[0]
    return _SHORT.get(first, first)


def is_code(text: str) -> bool:
    """Tell whether this is a code of a language, in lower case and maybe of a region, and not any two or three letters."""
    found = _TAG.fullmatch(text)
    return found is not None and (found[1] in _LONG or found[1] in _SHORT)
