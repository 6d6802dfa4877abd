"""``face-strnn synth``."""

from pathlib import Path

from rich.markup import escape

from face_strnn.cli.console import console
from face_strnn.cli.progress import Step, progress


def synth(out: Path, subjects: int = 118, seed: int = 0, jobs: int = -1) -> None:
    """Write the synthetic data set: drawn faces of no real person, in CK+'s folder layout.

    Args:
        out: new folder for the data set.
        subjects: number of synthetic subjects, 1 to 118 (all 327 sequences).
        seed: of the drawing; the same seed gives the same bytes.
        jobs: processes that draw; -1 for one per core.
    """
    from data_prep.synthetic.dataset import first_subjects, write_synthetic

    n_sequences = len(first_subjects(subjects))
    with progress() as show:

        def drawn(done: int, whole: int) -> None:
            show(Step("drawing", done, whole, "sequences"))

        write_synthetic(out, subjects, seed, progress=drawn, jobs=jobs)
    console.print(
        f"[b]{escape(str(out))}[/b]: {n_sequences} synthetic sequences of {subjects} subjects", soft_wrap=True
    )
