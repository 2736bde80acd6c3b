"""`python -m tests.architecture`: draws the floors of docs/architecture.md from the imports."""

import textwrap
from pathlib import Path

from tests.unit.test_imports import FLOORS, MODULES, imports_of, module_of, room_of

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- floors: drawn by python -m tests.architecture -->\n", "<!-- end of floors -->\n"
WIDTH, INDENT = 96, 14


def main():
    PAGE.write_text(with_floors(PAGE.read_text(), picture()))


def with_floors(page, floors):
    """`page` with the picture between its two marks replaced by `floors`."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + floors + END + rest.split(END)[1]


def picture():
    """The floors from the top down: each room with its files and the rooms that it imports."""
    line = "-" * WIDTH + "\n"
    floors = ["".join(room_text(room) for room in sorted(floor)) for floor in reversed(FLOORS)]
    return "```\n" + line.join(floors) + "```\n"


def room_text(room):
    modules = [name for name in MODULES if room_of(name) == room]
    files = [name.split(".", 2)[2] for name in sorted(modules)
             if name.count(".") > 1 and MODULES[name].name != "__init__.py"]
    below = {room_of(module_of(name)) for module in modules
             for name in imports_of(MODULES[module].read_text()) if module_of(name)} - {room}
    lines = [*wrapped(files), *wrapped(sorted(below, key=floor_of), "-> ")] or [""]
    return "\n".join([f"{room:{INDENT - 1}} {lines[0]}".rstrip(),
                      *(" " * INDENT + text for text in lines[1:])]) + "\n"


def wrapped(words, first=""):
    return textwrap.wrap(" ".join(words), WIDTH - INDENT, initial_indent=first,
                         subsequent_indent=" " * len(first)) if words else []


def floor_of(room):
    """Number of the room's floor and its name, to sort by."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms), room


if __name__ == "__main__":
    main()
