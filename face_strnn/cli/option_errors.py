"""What jsonargparse finds wrong with options, in the program's own words."""

import re

_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "tuple[float, ...]": "numbers in brackets, such as [-7,7]",
    "tuple[int, ...]": "whole numbers in brackets, such as [7,7]",
}
"""Types as jsonargparse writes them -> what a value must be."""

_REQUIRED = re.compile(r"the following arguments are required: (.*)")
_KEY = re.compile(r'Parser key "([^"]+)": (.*)')
_EXPECTED = re.compile(r"Expected a (.+?)\. Got value: (.*)")
_ALTERNATIVES = re.compile(r"Does not validate .* Subtypes: \[(.+?), <class 'NoneType'>\] .* Given value: (.*)")


def in_words(message: str) -> str:
    """Return what is wrong with an option, what it must be, and its name as it is typed.

    Args:
        message: jsonargparse's, on one line; one of an unknown form is returned as it is.

    Example:
        >>> in_words("the following arguments are required: cv.features, cv.out")
        'cv needs features, out'
        >>> in_words("Parser key 'margin': unknown form")
        "Parser key 'margin': unknown form"
    """
    if found := _REQUIRED.fullmatch(message):
        commands, names = zip(*(name.split(".", 1) for name in found[1].split(", ")), strict=True)
        return f"{commands[0]} needs {', '.join(names)}"
    if not (key := _KEY.fullmatch(message)):
        return message
    option = f"--{key[1]}" if "." in key[1] else f"--{key[1].replace('_', '-')}"
    if found := _EXPECTED.fullmatch(key[2]) or _ALTERNATIVES.fullmatch(key[2]):
        return f"{option} {found[2]}: must be {_what(found[1])}"
    return f"{option}: {key[2]}"


def _what(kind: str) -> str:
    """A type in words; of a literal its values."""
    if kind.startswith("typing.Literal["):
        return f"one of {kind.removeprefix('typing.Literal[').removesuffix(']').replace(chr(39), '')}"
    return _KINDS.get(kind, kind)
