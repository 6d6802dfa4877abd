"""The options of the program's commands, made from the signatures and docstrings of their functions."""

import sys
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import cleandoc, signature
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from face_strnn.cli.option_errors import in_words

COMMAND_LINE = "command"
"""The parameter of a command's function that takes what the program was called with: no option of its own."""


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        function: does the work; its name is the command's, its arguments are the options, and its docstring the help.
        example: the last lines of its help.
        positional: the argument that is given without an option's name.
        configurable: whether ``--config`` reads options from a YAML file.
        listed: arguments whose values are given after one another, where the signature would ask for brackets.
    """

    function: Callable[..., None]
    example: str
    positional: str | None = None
    configurable: bool = False
    listed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it is called."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring."""
        return (self.function.__doc__ or "").split("\n\n")[0]

    @property
    def description(self) -> str:
        """The docstring up to its arguments."""
        return cleandoc(self.function.__doc__ or "").split("\n\nArgs:")[0]

    def help_of(self, argument: str) -> str:
        """Return what the docstring says about an argument, in its first line."""
        lines = (self.function.__doc__ or "").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.strip().startswith(f"{argument}:"))


def program(commands: Sequence[Command]) -> ArgumentParser:
    """Return the parser of the program ``face-strnn``."""
    description = "CK+ facial-expression recognition with the STRNN, under protocols that a reviewer believes."
    parser = _Parser(prog="face-strnn", description=description, formatter_class=_Help, allow_abbrev=False)
    subcommands = parser.add_subcommands(required=True, dest="subcommand")
    for command in commands:
        subcommands.add_subcommand(command.name, _options(command), help=command.summary)
    return parser


def with_shipped_configuration(arguments: Sequence[str]) -> list[str]:
    """Let ``--config best`` stand for the file of that name in the package."""
    shipped = {path.stem: str(path) for path in _shipped_configurations()}
    replaced = []
    for argument in arguments:
        name = argument.removeprefix("--config=")
        if name in shipped and not Path(name).exists():
            if name != argument:
                argument = f"--config={shipped[name]}"
            elif replaced and replaced[-1] == "--config":
                argument = shipped[name]
        replaced.append(argument)
    return replaced


class _Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Leaves the lines of an example as they are, so that they can be copied, and tells the types of numbers only.

    Of a file, a text or a choice the option's name and what follows it say enough, in words that are no Python.
    """

    def _get_type_str(self, action: Action) -> str | None:
        shown = super()._get_type_str(action)
        is_plain = shown and not any(word in shown for word in ("Path", "str", "Literal", "Optional", "null"))
        return shown if is_plain else None

    def _get_help_string(self, action: Action) -> str:
        shown = super()._get_help_string(action)
        if action.default is not None and action.default is not False:
            return shown
        return shown.replace(" (default: %(default)s)", "").replace(", default: %(default)s", "")


class _Parser(ArgumentParser):
    """Reports a wrong option in one line, without the usage of all others."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        said = in_words(" ".join(str(message).split()))
        print(f"face-strnn: {said}; `face-strnn COMMAND -h` shows the options and an example", file=sys.stderr)
        sys.exit(2)


def _options(command: Command) -> ArgumentParser:
    epilog = f"example:\n  {command.example}"
    options = _Parser(description=command.description, epilog=epilog, formatter_class=_Help, allow_abbrev=False)
    parameters = signature(command.function).parameters
    added = {*command.listed, *({COMMAND_LINE} & parameters.keys())}
    if command.positional:
        given = parameters[command.positional]
        several = {"nargs": "+"} if given.annotation == list[Path] else {"nargs": "?"} if given.default is None else {}
        kind = str if given.annotation == (str | None) else Path
        options.add_argument(command.positional, type=kind, help=command.help_of(command.positional), **several)
        added.add(command.positional)
    if command.configurable:
        known = " or ".join(path.stem for path in _shipped_configurations())
        what = f"YAML file with any of these options, or one that is shipped: {known}"
        options.add_argument("--config", action="config", help=what)
    for name in command.listed:
        text = command.help_of(name)
        options.add_argument(f"--{name.replace('_', '-')}", nargs="+", action="extend", metavar="NAME", help=text)
    for name in sorted(name for name, given in parameters.items() if given.annotation is bool):
        # `--json` alone, where the signature would ask for `--json true`
        options.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=command.help_of(name))
        added.add(name)
    for name in [name for name in parameters if "_" in name and name not in added]:
        given = parameters[name]
        text = command.help_of(name)
        options.add_argument(f"--{name.replace('_', '-')}", type=given.annotation, default=given.default, help=text)
        added.add(name)
    options.add_function_arguments(command.function, skip=added, as_group=False)
    return options


def _shipped_configurations() -> list[Path]:
    return sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
