"""The packages are imported in one direction: each from those before it, never the reverse."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ORDER = {
    "data_prep": ("media", "datasets", "faces", "backbones", "synthetic", "store", "preparation", "pretraining"),
    "face_strnn": (
        "models", "training", "evaluation", "audit", "experiments", "saliency", "report", "prediction", "cli",
    ),
}  # fmt: skip
"""Every package, lowest first; ``face_strnn`` stands on all of ``data_prep``."""

DOORS = {"face_strnn.estimator": "training"}
"""Modules at the top that stand on a package; the other modules there stand on none."""

MODULES = [path for top in ORDER for path in sorted((ROOT / top).rglob("*.py"))]

FLOORS = [f"{top}.{package}" for top, packages in ORDER.items() for package in ("", *packages)]


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def floor(module):
    """The height of a module: that of its package; a module at the top of a package tree is below its packages."""
    top, *rest = module.split(".")
    if module in DOORS:
        return FLOORS.index(f"{top}.{DOORS[module]}") + 0.5
    return FLOORS.index(f"{top}.{rest[0]}") if rest and rest[0] in ORDER[top] else FLOORS.index(f"{top}.")


def imports(path):
    """The modules of this project that a file imports, wherever in it, and also those for type checkers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ORDER)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ORDER:
            # `from package import module` imports the module
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                yield name if (ROOT / name.replace(".", "/")).with_suffix(".py").is_file() else node.module


def test_every_package_has_its_place_in_the_order():
    for top, packages in ORDER.items():
        assert {path.parent.name for path in (ROOT / top).glob("*/__init__.py")} == set(packages)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_imports_from_its_own_package_and_those_before_it(path):
    upwards = {name for name in imports(path) if floor(name) > floor(dotted(path))}
    assert not upwards, f"{dotted(path)} imports from a later package: {', '.join(sorted(upwards))}"


def test_no_modules_import_each_other_in_a_circle():
    reached = {dotted(path): set(imports(path)) - {dotted(path)} for path in MODULES}
    while free := [name for name, names in reached.items() if not names & reached.keys()]:
        for name in free:
            del reached[name]
    assert not reached, f"these import each other, or what does: {', '.join(sorted(reached))}"


@pytest.mark.parametrize("top", ORDER)
def test_a_package_can_be_kept_in_the_head(top):
    """At most 15 modules side by side; the program's commands are of one kind."""
    for package in (ROOT / top).rglob("__init__.py"):
        modules = [path for path in package.parent.glob("*.py") if not path.name.startswith("__")]
        commands = [path for path in modules if f"def {path.stem}(" in path.read_text(encoding="utf-8")]
        of_one_kind = commands if package.parent.name == "cli" else []
        assert len(modules) - len(of_one_kind) <= 15, package.parent
