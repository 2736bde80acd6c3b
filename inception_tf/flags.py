"""absl flags <-> Config. No other module touches flags.

Every field of the config's dataclasses is one flag of the same name; a command
says which groups it takes and adds its own few. Each parse uses a FlagValues of
its own, so commands can be called many times in one process.
"""

import dataclasses
import sys

from absl import flags as absl_flags

from inception_tf import config as config_module
from inception_tf.config import GROUPS, Config, element_type
from inception_tf.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag that only one command has."""

    name: str
    default: object
    help: str
    choices: tuple[str, ...] | None = None


class Arguments:
    """Parsed flags: `own` values by name, the config fields that were given, other words.

    names_given: of the flags of both kinds that the command line has.
    """

    def __init__(self, values, own_names, words):
        self.words = words
        self.own = {name: values[name].value for name in own_names}
        self.names_given = [name for name in values if values[name].present]
        self.given = {
            name: _plain(values[name].value)
            for name in config_module.field_groups()
            if name in values and values[name].present
        }


def parse(command, summary, argv, own=(), groups=tuple(GROUPS), fields=None, takes_words=False):
    """Arguments of `inception-tf COMMAND`.

    Args:
        command: its name, for messages.
        summary: what `--help` says first.
        argv: the words after the command's name.
        own: the command's own `Flag`s.
        groups: config groups whose fields are flags of this command.
        fields: names to restrict those fields to; None takes all.
        takes_words: whether words that are no flags are arguments of it.

    Raises:
        UsageError: an unknown flag, a value of the wrong type, or a word that is no flag.
        SystemExit: after printing help.
    """
    values = absl_flags.FlagValues()
    for group in groups:
        for field in dataclasses.fields(GROUPS[group]):
            if fields is None or field.name in fields:
                _define_field(values, group, field)
    for flag in own:
        _define(values, command, flag.name, type(flag.default), flag.default, flag.help,
                flag.choices)
    if any(word in ("--help", "-h", "-help", "--helpfull") for word in argv):
        print(f"{summary}\n\nflags of {command}, by group:\n{values.get_help()}")
        sys.exit(0)
    words = _words(values, command, argv)
    if words and not takes_words:
        raise UsageError(f"{command} takes flags only, got {words[0]!r}: write --NAME=VALUE")
    return Arguments(values, [flag.name for flag in own], words)


def config_from(arguments, base):
    """`base` (a Config) with the given flags put over it."""
    return base.replace(**arguments.given)


def parse_run(command, summary, argv, own=()):
    """Arguments and Config of a command that starts from a preset."""
    preset = Flag("preset", "demo", "where unset flags come from", tuple(config_module.PRESETS))
    arguments = parse(command, summary, argv, (preset, *own))
    return arguments, config_from(arguments, config_module.preset(arguments.own["preset"]))


def _words(values, command, argv):
    """Puts the flags of `argv` into `values`; the words that are left."""
    try:
        return values([command, *argv])[1:]
    except absl_flags.Error as error:
        raise UsageError(f"{error} (see `inception-tf {command} --help`)") from None


def _define_field(values, group, field):
    meta = field.metadata
    _define(values, group, field.name, field.type, field.default, meta["help"], meta["choices"])


def _define(values, module, name, kind, default, help_text, choices=None):
    common = {"flag_values": values, "module_name": module}
    element = element_type(kind)
    if choices and element is None:
        absl_flags.DEFINE_enum(name, default, choices, help_text, **common)
    elif element is not None or kind is tuple:
        parser = absl_flags.ListParser() if element is None else _TupleParser(element)
        absl_flags.DEFINE(parser, name, default, help_text,
                          serializer=absl_flags.ListSerializer(","), **common)
    else:
        define = {bool: absl_flags.DEFINE_boolean, int: absl_flags.DEFINE_integer,
                  float: absl_flags.DEFINE_float, str: absl_flags.DEFINE_string}[kind]
        define(name, default, help_text, **common)


class _TupleParser(absl_flags.ArgumentParser):
    """Comma-separated numbers."""

    def __init__(self, element):
        super().__init__()
        self.element = element
        self.syntactic_help = f"comma-separated {element.__name__} values"

    def parse(self, argument):
        if not isinstance(argument, str):
            return list(argument)
        return [self.element(word) for word in argument.split(",") if word]

    def flag_type(self):
        return f"comma-separated {self.element.__name__}"


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


__all__ = ["Arguments", "Config", "Flag", "config_from", "parse", "parse_run"]
