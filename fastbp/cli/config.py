"""Options of a command from a TOML file; those typed on the command line take precedence."""

from __future__ import annotations

import argparse
import difflib
import tomllib
from typing import Any

from .. import checks

_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    None: ((str,), "text"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
}


class Options:
    """
    The arguments of a command, by their long names.

    Parameters
    ----------
    command : argparse.ArgumentParser
    """

    def __init__(self, command: argparse.ArgumentParser) -> None:
        self._command = command
        self._actions: dict[str, argparse.Action] = {}
        self._repeatable: set[str] = set()

    def add(self, name: str, text: str, *, group: Any = None, **settings: Any) -> None:
        """Add an argument with its help text to the command, or to a group of its arguments."""
        self._actions[name.removeprefix("--")] = (group or self._command).add_argument(name, help=text, **settings)
        if settings.get("action") == "append":
            self._repeatable.add(name.removeprefix("--"))

    def action(self, where: str, name: str) -> argparse.Action:
        """The argument with this long name; if there is none, ValueError that says `where` it was named."""
        return self._actions[checks.one_of(where, name, self._actions)]

    def typed(self, argv: list[str]) -> set[str]:
        """The attribute names of the options that occur in `argv`."""
        names = [token.removeprefix("--").partition("=")[0] for token in argv if token.startswith("--")]
        return {self._actions[name].dest for name in names if name in self._actions}

    def from_file(self, argv: list[str]) -> list[str]:
        """
        Arguments from the file of ``--config``.

        Parameters
        ----------
        argv : list of str
            What the user typed after the command.

        Returns
        -------
        list of str
            Arguments to put before `argv`: those of the file that the user did not type.

        Raises
        ------
        OSError, ValueError
            The file cannot be read, or contains something other than options; the message names the file and the key.
        """
        path = _config_path(argv)
        if path is None:
            return []
        typed = self.typed(argv)
        names = [name for name in self._actions if name != "config"]
        arguments: list[str] = []
        for key, value in _load(path).items():
            name = key.replace("_", "-")
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1, cutoff=0)
                raise ValueError(f"{path}: there is no option {key!r}; did you mean {close[0]!r}?")
            action = self._actions[name]
            values = value if isinstance(value, list) and name in self._repeatable else [value]
            words = [word for one in values for word in _argument(f"{path}: {key}", action, one)]
            if not action.option_strings:  # the table: a second one would not replace the first
                action.nargs, action.required, action.default = "?", False, words[0]
            elif action.dest not in typed:
                arguments += words
        return arguments


def _config_path(argv: list[str]) -> str | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        return parser.parse_known_args(argv)[0].config
    except argparse.ArgumentError:  # the parser of the command reports it
        return None


def _load(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        try:
            return tomllib.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: this is not TOML: {error}") from None


def _argument(where: str, action: argparse.Action, value: Any) -> list[str]:
    """Return the words that would be typed for a value of the file; none for false."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"{where}: expected true or false, got {value!r}")
        return [action.option_strings[0]] * value
    text = _text(where, action, value)
    return [f"{action.option_strings[0]}={text}" if action.option_strings else text]


def _text(where: str, action: argparse.Action, value: Any) -> str:
    """Return a value as text that the action can read."""
    if action.type in _TYPES:
        kinds, expected = _TYPES[action.type]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{where}: expected {expected}, got {value!r}")
    if action.choices is not None:
        checks.one_of(where, value, action.choices)
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if callable(action.type):
        try:
            action.type(text)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{where}: {error}") from None
    return text
