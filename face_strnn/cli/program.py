"""The program ``face-strnn``."""

import shlex
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from inspect import signature

from data_prep.errors import BadInput, DataWarning
from face_strnn.cli.audit import audit
from face_strnn.cli.backbones import backbones
from face_strnn.cli.check import check
from face_strnn.cli.compare import compare
from face_strnn.cli.cv import cv
from face_strnn.cli.demo import demo
from face_strnn.cli.options import COMMAND_LINE, Command, program, with_shipped_configuration
from face_strnn.cli.predict import predict
from face_strnn.cli.prepare import prepare
from face_strnn.cli.pretrain import pretrain
from face_strnn.cli.report import report
from face_strnn.cli.reproduce import reproduce
from face_strnn.cli.saliency import saliency
from face_strnn.cli.synth import synth

# Each command imports what it needs: torch alone takes seconds, and `-h` should not.
COMMANDS = (
    Command(demo, "face-strnn demo"),
    Command(synth, "face-strnn synth --out data/synthetic --subjects 118"),
    Command(check, "face-strnn check --root data/ck+"),
    Command(prepare, "face-strnn prepare --root data/ck+ --out features --weights faces --maps pool4"),
    Command(
        backbones,
        "face-strnn backbones --compare --features features/*-imagenet-pool4-* features/*-faces-pool4-*",
        positional="file",
        listed=("features",),
    ),
    Command(pretrain, "face-strnn pretrain --images data/fer2013 --faces given --out backbones/fer.safetensors"),
    Command(cv, "face-strnn cv --features features --out runs/first", configurable=True, listed=("classes",)),
    Command(saliency, "face-strnn saliency runs/first --features features", positional="run"),
    Command(
        reproduce,
        "face-strnn reproduce --features features --out paper --seeds 5",
        configurable=True,
        listed=("only", "classes"),
    ),
    Command(report, "face-strnn report runs/first", positional="run"),
    Command(
        audit,
        "face-strnn audit runs/first --features features --repeat-fold all",
        positional="run",
        listed=("repeat_fold",),
    ),
    Command(compare, "face-strnn compare runs/paper runs/best", positional="runs"),
    Command(
        predict, "face-strnn predict --run runs/first --annotate smile-annotated.mp4 smile.mp4", positional="source"
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when it did its work, 2 for bad input, 1 for a failure that is ours."""
    parser = program(COMMANDS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parsed = parser.instantiate(parser.parse_args(with_shipped_configuration(arguments)))
    except BadInput as error:
        print(f"face-strnn: {error}", file=sys.stderr)
        return 2
    name = parsed.subcommand
    warnings.showwarning = partial(_warn, name)
    command = next(command.function for command in COMMANDS if command.name == name)
    values = {key: value for key, value in vars(parsed[name]).items() if key not in ("config", "__default_config__")}
    if COMMAND_LINE in signature(command).parameters:
        values[COMMAND_LINE] = shlex.join(["face-strnn", *arguments])
    try:
        command(**values)
    except BadInput as error:
        print(f"face-strnn {name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"face-strnn {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes it", file=sys.stderr)
        return 130
    return 0


def _warn(command: str, message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print this project's warnings in one line, and those of libraries not at all: they speak to programmers."""
    if issubclass(category, DataWarning):
        print(f"face-strnn {command}: warning: {message}", file=sys.stderr)
