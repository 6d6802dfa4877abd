"""Whatever is imported is declared, not merely brought along by another package."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
OWN = {"data_prep", "face_strnn"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def distributions(requirements):
    return {re.match(r"[\w.-]+", one)[0].lower().replace("_", "-") for one in requirements}


def test_every_imported_package_is_declared_with_the_version_that_was_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = distributions([*project["dependencies"], *project["optional-dependencies"]["tensorboard"]])
    names = {name for top in OWN for path in (ROOT / top).rglob("*.py") for name in imported(path)}
    providers = packages_distributions()
    undeclared = {
        name for name in names - OWN - sys.stdlib_module_names if not declared & distributions(providers.get(name, []))
    }
    assert not undeclared, f"imported and not in pyproject.toml: {', '.join(sorted(undeclared))}"
    pinned = distributions(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[0] != "#")
    assert declared <= pinned
