"""``face-strnn demo``."""

from pathlib import Path

from data_prep.errors import BadInput
from face_strnn.cli.console import console
from face_strnn.cli.cv import cv
from face_strnn.cli.prepare import prepare
from face_strnn.cli.synth import synth


def demo(out: Path = Path("demo-run"), subjects: int = 16, epochs: int = 8, seed: int = 0, command: str = "") -> None:
    """Run the main job on synthetic faces: synth, prepare, cv, report.

    Args:
        out: folder for the data, the features and the run; finished steps are kept.
        subjects: number of synthetic subjects, at least 10.
        epochs: passes over the training samples, each of which comes as five variants.
        seed: of the drawing and the training.
        command: how the program was called; the run's summary repeats it.
    """
    if subjects < 10:
        raise BadInput(f"{subjects} subjects are fewer than the protocol's 10 folds; give --subjects 10 or more")
    console.rule("1 of 3: draw synthetic faces in CK+'s layout")
    synth(out / "data", subjects, seed)
    console.rule("2 of 3: crop faces with MTCNN, rotate, compute a frozen backbone's maps")
    prepare(out / "data", out / "features", weights="faces", maps="pool4")
    console.rule("3 of 3: train and test an STRNN under 10 subject-independent folds")
    cv(out / "features", out / "run", epochs=epochs, seed=seed, command=command)
