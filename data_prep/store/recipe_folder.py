"""A folder that is named after everything that shaped its files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from data_prep.atomic_files import UNFINISHED, write_text_whole
from data_prep.errors import BadInput


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that change with anything in the recipe that shapes the files.

    The weights enter by their checksum; a copy with another name gives the same maps. Nodes and classes describe the
    files but do not shape them.
    """
    shaping = {key: value for key, value in recipe.items() if key not in ("weights", "nodes", "classes")}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:12]


def _are_names(values: object) -> bool:
    if not isinstance(values, list) or not all(
        isinstance(name, str) and name and name.isprintable() for name in values
    ):
        return False
    return len(set(values)) == len(values)


class RecipeFolder:
    """A folder of files of one recipe, which a JSON file in it spells out; its name ends with their fingerprint.

    Args:
        folder: where it is, or will be.
        recipe: what shapes the files; values that JSON can hold.

    Attributes:
        RECIPE_FILE: name of the JSON file, which tells the kinds of folders apart.
        WHAT: what errors call such a folder.
    """

    RECIPE_FILE: ClassVar[str]
    WHAT: ClassVar[str]

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        self.folder = folder
        self.recipe = dict(recipe)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits; the end of the folder's name."""
        return fingerprint(self.recipe)

    @classmethod
    def create(cls, parent: Path, name: str, recipe: Mapping[str, Any]) -> Self:
        """Create the folder in ``parent``, or resume the existing one.

        Args:
            parent: folder of such folders.
            name: first part of the folder's name; the fingerprint follows.
            recipe: what shapes the files; values that JSON can hold.

        Raises:
            BadInput: ``parent`` cannot be written to.
        """
        # One that was made under another name, of the weights' file say, is the same.
        begun = sorted(parent.glob(f"*-{fingerprint(recipe)}/{cls.RECIPE_FILE}"))
        created = cls(begun[0].parent if begun else parent / f"{name}-{fingerprint(recipe)}", recipe)
        recipe_file = created.folder / cls.RECIPE_FILE
        try:
            created.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{created.folder}: cannot be made ({error.strerror}); give another --out") from error
        text = json.dumps(created.recipe, indent=2, sort_keys=True) + "\n"
        if not recipe_file.is_file() or recipe_file.read_bytes() != text.encode():
            write_text_whole(recipe_file, text)
        return created

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open it for reading.

        Args:
            path: the folder, or a folder that holds exactly one such folder.

        Raises:
            BadInput: there is none, there are several, or the folder's name does not carry the fingerprint of its
                recipe.
        """
        if not path.is_dir():
            raise BadInput(f"{path}: no such folder; `face-strnn prepare --out {path}` makes a {cls.WHAT} in it")
        if not (path / cls.RECIPE_FILE).is_file():
            found = sorted(recipe.parent for recipe in path.glob(f"*/{cls.RECIPE_FILE}"))
            if not found:
                raise BadInput(f"{path}: holds no {cls.WHAT}; `face-strnn prepare --out {path}` makes one")
            if len(found) > 1:
                names = ", ".join(folder.name for folder in found)
                raise BadInput(f"{path}: holds several {cls.WHAT}s ({names}); give --features one of them")
            path = found[0]
        recipe_file = path / cls.RECIPE_FILE
        try:
            recipe = json.loads(recipe_file.read_text(encoding="utf-8"))
            if not isinstance(recipe, dict):
                raise ValueError("no recipe")
            # These entries are not part of the fingerprint.
            if not _are_names(recipe.get("classes", [])):
                raise ValueError("its classes are no list of names")
            if not isinstance(recipe.get("nodes", {}), dict) or not isinstance(recipe.get("weights", ""), str):
                raise ValueError("its nodes are no object, or its weights no name")
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"{recipe_file}: damaged ({error}); prepare the features again") from error
        opened = cls(path, recipe)
        if not path.resolve().name.endswith(f"-{opened.fingerprint}"):
            raise BadInput(
                f"{path}: the folder's name must end with {opened.fingerprint}, the fingerprint of its "
                f"{cls.RECIPE_FILE}; give the store its own name back, or prepare the features again"
            )
        return opened

    def remove_unfinished(self) -> None:
        """Delete the unfinished files of killed writers. Only the folder's sole writer may call this."""
        for half in self.folder.rglob(f".*{UNFINISHED}"):
            half.unlink(missing_ok=True)
