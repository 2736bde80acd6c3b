"""Names of files and classes, escaped for terminals; what errors say, in one line."""

import re

# C0 and C1 control characters (ECMA-48) with DEL; controls of a line's direction (UAX #9).
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# Also one that was cut off at the end.
_COLOR = re.compile(r"\x1b(\[[0-9;]*(m|$))?")


def printable(name: str) -> str:
    """`name` in one line, with control characters written out (`\\x1b`)."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], str(name))


def printable_lines(text: str) -> str:
    """`text` of any number of lines, each `printable`; tabs stay."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def uncolored(text: str) -> str:
    """`text` without a terminal's colour codes, which other programs put into their messages."""
    return _COLOR.sub("", text)


def first_line(error: Exception) -> str:
    """The first line of what an error says; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def one_line(error: Exception) -> str:
    """All that an error says, in one line; its class where it says nothing."""
    return printable(" ".join(str(error).split()) or type(error).__name__)[:300]
