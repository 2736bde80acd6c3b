"""absl flags <-> Config. No other module touches flags; that they are absl's is a requirement.

Every field of the config's dataclasses is a flag of the same name; a command chooses groups of
them and adds a few flags of its own. Each parse has its own FlagValues, so that commands can be
called many times in one process.
"""

import dataclasses
import difflib
import importlib.metadata
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from inception_tf import config as config_module
from inception_tf.bounds import check_value
from inception_tf.config import GROUPS, Config, element_type, field_groups
from inception_tf.errors import UsageError

# Other programs' names, where neither spelling nor initials lead to ours.
ALIASES = {
    "arch": "net", "model_name": "net", "size": "image_size", "resolution": "image_size",
    "data": "data_dir", "data_path": "data_dir", "pretrained": "init_from", "weights": "init_from",
    "checkpoint": "init_from", "batch": "global_batch", "batch_size": "global_batch",
    "steps": "max_steps", "gpus": "strategy", "amp": "precision", "fp16": "precision",
    "dtype": "precision", "output_dir": "model_dir", "logdir": "model_dir", "workdir": "model_dir",
    "run": "model_dir", "model": "model_dir", "output": "model_dir", "ckpt": "init_from",
    "gpu": "strategy", "split": "eval_split", "lr_decay": "decay_rate",
}

# Fields of a command on a run's folder that are its own all the same.
_NEVER_THE_RUNS = ("model_dir", "stall_timeout_s")
_DEFAULTS = Config()


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag; `choices` and the fields after it as in `bounds.option`.

    addresses: beginnings of what a path flag takes instead of a path ("https://").
    """

    name: str
    default: object
    help: str
    choices: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    path: bool = False
    addresses: tuple[str, ...] = ()


class Arguments:
    """A parsed command line.

    own: values of the command's own flags, by name.
    given: config fields that the command line sets.
    names_given: names of all flags that the command line sets.
    words: what is no flag.
    """

    def __init__(self, values: absl_flags.FlagValues, defined: dict[str, Flag],
                 own_names: Sequence[str], words: list[str]):
        self.words = words
        self.names_given = [name for name in values if values[name].present]
        found = {name: _checked(defined[name], values[name].value)
                 for name in self.names_given if name in defined}
        self.own: dict[str, Any] = {n: found.get(n, values[n].value) for n in own_names}
        self.given: dict[str, Any] = {n: v for n, v in found.items() if n not in own_names}

    def own_if_given(self, name: str) -> Any:
        """The value of one of the command's own flags; None where the command line has none."""
        return self.own[name] if name in self.names_given else None

    def require_model(self) -> None:
        """Raises UsageError where --model is not given."""
        if not self.own["model"]:
            raise UsageError("--model: name a run's folder, an exported folder or a .keras file")


def parse(command: str, summary: str, argv: Sequence[str], own: Sequence[Flag] = (),
          fields: Sequence[str] = tuple(field_groups()), takes_words: bool = False,
          defaults: Config | None = _DEFAULTS) -> Arguments:
    """Arguments of `inception-tf COMMAND`.

    Args:
        command: its name, for messages.
        summary: what `--help` says first.
        argv: the words after the command's name.
        own: the command's own `Flag`s.
        fields: config fields that are flags of this command.
        takes_words: whether words that are no flags are allowed.
        defaults: what `--help` shows as the fields' defaults; None: "the run's", whose settings
            they are.

    Raises:
        UsageError: an unknown flag, a value of the wrong type, or a word that is no flag.
        SystemExit: after printing help.
    """
    values, defined = absl_flags.FlagValues(), {flag.name: flag for flag in own}
    for group, kind in GROUPS.items():
        for field in dataclasses.fields(kind):
            if field.name in fields:
                default = getattr(getattr(defaults or _DEFAULTS, group), field.name)
                flag = Flag(field.name, default, **field.metadata)
                defined[flag.name] = flag
                _define(values, group, flag, field.type)
                if defaults is None and flag.name not in _NEVER_THE_RUNS:
                    values[flag.name].default_as_str = "the run's"
    for flag in own:
        _define(values, command, flag, type(flag.default))
    _answer_questions(command, summary, argv, values)
    words = _words(values, command, argv)
    if words and not takes_words:
        raise UsageError(f"{command} takes flags only, got {words[0]!r}: write --NAME=VALUE")
    return Arguments(values, defined, [flag.name for flag in own], words)


def version() -> str:
    """What --version prints."""
    return f"inception_tf {importlib.metadata.version('inception_tf')}"


def nearest(word: str, known: list[str]) -> str | None:
    """The one of `known` that `word` is most likely meant to be."""
    word = word.strip("-").replace("-", "_").lower()
    for candidate in (ALIASES.get(word), *(k for k in known if _initials(k) == word)):
        if candidate in known:
            return candidate
    near = difflib.get_close_matches(word, known, 1)
    parts = [k for k in known if word in k.split("_")]
    return (near + parts + [None])[0]


def path_list(name: str, text: str) -> tuple[str, ...]:
    """The paths in `text`, the value of a flag that takes several, by commas."""
    return tuple(_path(name, part) for part in text.split(","))


def config_from(arguments: Arguments, base: Config) -> Config:
    """`base`, overridden by the flags that were given."""
    return base.replace(**arguments.given)


def parse_run(command: str, summary: str, argv: Sequence[str],
              own: Sequence[Flag] = ()) -> tuple[Arguments, Config]:
    """Arguments and Config of a command that starts from a preset.

    Args:
        command, summary, argv, own: as in `parse`.
    """
    preset = Flag("preset", "demo", "where unset flags come from", tuple(config_module.PRESETS))
    name = _value_in(argv, preset, command)
    base = config_module.preset(name)
    arguments = parse(command, f"{summary} The defaults below are those of --preset={name}.", argv,
                      (preset, *own), defaults=base)
    return arguments, config_from(arguments, base)


def _value_in(argv, flag, command):
    """The value of one flag of the command line, whatever else that says."""
    values = absl_flags.FlagValues()
    values.set_gnu_getopt()
    _define(values, command, flag, str)
    _words(values, command, argv, known_only=True)
    return values[flag.name].value


def _answer_questions(command, summary, argv, values):
    """Prints what --help or --version ask for, and exits."""
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in argv):
        print(f"{summary}\n\nflags of {command}, by group:\n{values.get_help()}")
        sys.exit(0)
    if "--version" in argv:
        print(version())
        sys.exit(0)


def _words(values, command, argv, known_only=False):
    """Puts the flags of `argv` into `values`; the words that are left."""
    try:
        return values([command, *argv], known_only)[1:]
    except absl_flags.UnrecognizedFlagError as error:
        raise UsageError(_unknown(error.flagname, list(values), command)) from None
    except (absl_flags.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{error!s:.300} (see `inception-tf {command} --help`)") from None


def _unknown(name, known, command):
    near = nearest(name, known)
    elsewhere = " (a flag of other commands)" if name in field_groups() else ""
    meant = f"did you mean --{near}? " if near else ""
    return f"{command} has no flag --{name}{elsewhere}: {meant}see `inception-tf {command} --help`"


def _initials(name):
    return "".join(part[0] for part in name.split("_"))


def _checked(flag, value):
    """A value that was given: a list as a tuple, paths as `_path` has them, within its bounds."""
    value = tuple(value) if isinstance(value, list) else value
    if flag.path and isinstance(value, tuple):
        return path_list(flag.name, ",".join(value))
    if flag.path:
        return value if value.startswith(flag.addresses) else _path(
            flag.name, value, flag.addresses)
    check_value(flag.name, value, flag.choices, flag.low, flag.high)
    return value


def _path(name, text, addresses=()):
    """`text` as a path of this machine; UsageError for what nobody can have meant as one."""
    if not text.strip():
        raise UsageError(f"--{name} is empty: is a shell variable unset?")
    if re.match(r"\w+://", text):
        forms = ", ".join(("a path of this machine", *(f"{form}..." for form in addresses)))
        raise UsageError(f"--{name}={text} is an address: give {forms}")
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise UsageError(f"--{name}={text}: no such user here; write ./{text} for that name")
    return path


def _define(values, module, flag, kind):
    common = {"flag_values": values, "module_name": module}
    element = element_type(kind)
    if kind in _NUMBERS:
        absl_flags.DEFINE(_NUMBERS[kind](), flag.name, flag.default, flag.help, **common)
    elif flag.choices and element is None:
        absl_flags.DEFINE_enum(flag.name, flag.default, flag.choices, flag.help, **common)
    elif element is not None or kind is tuple:
        parser = absl_flags.ListParser() if element is None else _TupleParser(element)
        absl_flags.DEFINE(parser, flag.name, flag.default, flag.help,
                          serializer=absl_flags.ListSerializer(","), **common)
    else:
        define = absl_flags.DEFINE_boolean if kind is bool else absl_flags.DEFINE_string
        define(flag.name, flag.default, flag.help, **common)


class _IntegerParser(absl_flags.IntegerParser):
    """A whole number; the error says so in a user's words."""

    def convert(self, argument):
        try:
            return super().convert(argument)
        except ValueError:
            raise ValueError("not a whole number") from None


class _FloatParser(absl_flags.FloatParser):
    """A number; the error says so in a user's words."""

    def convert(self, argument):
        try:
            return super().convert(argument)
        except ValueError:
            raise ValueError("not a number") from None


_NUMBERS: dict[type, Any] = {int: _IntegerParser, float: _FloatParser}


class _TupleParser(absl_flags.ArgumentParser):
    """Comma-separated numbers or words."""

    def __init__(self, element):
        super().__init__()
        self.element = element
        self.syntactic_help = f"comma-separated {element.__name__} values"

    def parse(self, argument):
        if not isinstance(argument, str):
            return list(argument)
        convert = _NUMBERS[self.element]().convert if self.element in _NUMBERS else str
        return [convert(word) for word in argument.split(",") if word]


# Of each command that reads a run's folder.
CHECKPOINT = Flag("checkpoint", "newest", "which of the run's checkpoints: newest, best (lowest "
                  "validation error of the averaged weights) or a step")
