"""Apertium's mode files and names of languages."""

from __future__ import annotations

import shlex

_CODES = dict(
    pair.split(":")
    for pair in [
        "afr:af",
        "ara:ar",
        "arg:an",
        "ast:ast",
        "bel:be",
        "bre:br",
        "bul:bg",
        "cat:ca",
        "cym:cy",
        "dan:da",
        "deu:de",
        "eng:en",
        "epo:eo",
        "eus:eu",
        "fra:fr",
        "glg:gl",
        "hbs:sh",
        "heb:he",
        "hin:hi",
        "ind:id",
        "isl:is",
        "ita:it",
        "kaz:kk",
        "mkd:mk",
        "mlt:mt",
        "msa:ms",
        "nld:nl",
        "nno:nn",
        "nob:nb",
        "oci:oc",
        "pol:pl",
        "por:pt",
        "ron:ro",
        "rus:ru",
        "slv:sl",
        "spa:es",
        "srd:sc",
        "swe:sv",
        "tat:tt",
        "tur:tr",
        "ukr:uk",
        "urd:ur",
    ]
)
"""ISO 639-3 to 639-1, of the languages that Apertium has released pairs for."""
_LONG = {short: long for long, short in _CODES.items()}


def short_code(code: str) -> str:
    """Return the two-letter code of a language, or the same code where none is known."""
    return _CODES.get(code, code)


def three_letters(code: str) -> str:
    """Return the three-letter code that Apertium's packages are named by; an empty text where none is known."""
    return _LONG.get(code, "")


def read_mode(text: str) -> list[list[str]]:
    """Return the commands of a mode file, each as its arguments.

    They are given what the program `apertium` gives for text without marks: `-n` for `$1`, nothing for `$2`. Each gets `-z`, so
    that it ends its output with a zero byte where its input has one, and waits for more.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            commands.append([])
        elif word == "$1":
            commands[-1].append("-n")
        elif word != "$2":
            commands[-1].append(word)
    return [[command[0], "-z", *command[1:]] for command in commands if command]
