"""Results files: one JSON line a run, which several processes and machines add to.

    python -m experiments.rows FILE.jsonl...     adds the rows of another machine's files

A file is replaced as a whole under a lock, so that what is read is complete and nothing is lost
when a process is killed. A run has one row: what is here stays, and the same run measured elsewhere
is not added again.
"""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from inception_tf.commands.shell import exit_code_of
from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.runtime.files import write_atomically

RESULTS = Path(__file__).parent / "results"


def read_rows(path: str | os.PathLike) -> list[dict]:
    """The rows of a results file; none when it is not there. UsageError if a line is no row."""
    path = Path(path)
    lines = path.read_text().splitlines() if path.exists() else []
    try:
        rows = [json.loads(line) for line in lines]
    except ValueError as error:
        raise UsageError(f"{path} is no results file: {error}") from None
    if not all(isinstance(row, dict) and "name" in row for row in rows):
        raise UsageError(f"{path} is no results file: a line is not a row with a name")
    return rows


def write_rows(path: Path, rows: list[dict]) -> None:
    """Replaces a results file; several writers use `add`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(
        json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def add(path: Path, rows: list[dict]) -> None:
    """Adds `rows`; one of the same name is replaced, in its place."""
    with _locked(path.parent):
        found = {row["name"]: row for row in read_rows(path)}
        write_rows(path, list((found | {row["name"]: row for row in rows}).values()))


def merge(path: Path, rows: list[dict]) -> int:
    """Adds those of `rows` whose run has no row yet, and returns how many they were.

    Raises: UsageError when a run of the same name had other settings.
    """
    with _locked(path.parent):
        found = {row["name"]: row for row in read_rows(path)}
        for row in rows:
            there = found.get(row["name"])
            if there and "config" in row and not same(settings_of(there), settings_of(row)):
                raise UsageError(f"{row['name']} has other settings in {path}: results of another "
                                 "version; rename or remove one of the files")
        new = {row["name"]: row for row in rows if row["name"] not in found}
        write_rows(path, [*found.values(), *new.values()])
    return len(new)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Context in which no other process changes results files of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def same(one: dict, other: dict) -> bool:
    """Whether two `plain` settings give the same result: how it is computed, logged and saved may
    differ."""
    groups = ("network", "data", "optimization")
    return all(one[group] == other[group] for group in groups) and all(
        one[group][name] == other[group][name]
        for group, name in (("runtime", "seed"), ("execution", "precision")))


def settings_of(row: dict) -> dict:
    """`plain` settings of a row's run; those newer than the row are at their defaults."""
    return plain(Config.from_json(json.dumps(row["config"])))


def plain(config: Config) -> dict:
    """`config` as JSON, without paths of this machine: of a folder of pictures, its name."""
    settings = json.loads(config.to_json())
    del settings["runtime"]["model_dir"]
    data = settings["data"]
    data["data_dir"] = Path(data["data_dir"]).name if data["dataset"] == "folder" else ""
    return settings


def finished(rows: list[dict]) -> list[dict]:
    """Those of `rows` whose run did not end non-finite."""
    return [row for row in rows if row["outcome"] == "finished"]


def seed_of(row: dict) -> int:
    """The seed of a row's run."""
    return row["config"]["runtime"]["seed"]


def main(argv: list[str]) -> None:
    """Adds the rows of each file to the file of the same name in experiments/results."""
    if not argv or argv[0].startswith("-"):
        raise UsageError("usage: python -m experiments.rows FILE.jsonl...")
    for path in map(Path, argv):
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        new = merge(RESULTS / path.name, read_rows(path))
        print(f"{path.name}: {new} rows added")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
