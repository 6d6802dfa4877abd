"""``face-strnn heatmap``."""

from pathlib import Path
from typing import Literal

from rich.markup import escape

from data_prep.datasets.catalogue import Dataset
from data_prep.errors import BadInput
from face_strnn.cli.console import console


def heatmap(
    run: Path,
    sequence: str | None = None,
    features: Path | None = None,
    baseline: Literal["first-frame", "zeros"] = "first-frame",
    show_faces: bool = False,
    root: Path | None = None,
    dataset: Dataset = "ckplus",
    part: str | None = None,
    whole: bool = False,
) -> None:
    """Draw a run's figures anew, the facial regions that its networks project on among them; or one test sequence.

    Args:
        run: a finished run folder.
        sequence: draw what the networks that never saw its subject made of this sequence, frame by frame.
        features: for a sequence: the feature store that the run was made with.
        baseline: for a sequence: what it is compared with, its first frame all the time, or maps of zeros.
        show_faces: lay the maps over the subject's own frames; the figure may then not be passed on.
        root: for --show-faces: folder of the data set; for a manifest the file.
        dataset: layout of the data set.
        part: camera and light of Oulu-CASIA, VL/Strong by default.
        whole: take MMI's whole recordings, not the part up to the apex.
    """
    from face_strnn.evaluation.run import Run

    if sequence is None:
        if show_faces or features or root:
            raise BadInput("--features, --show-faces and --root belong to one sequence; name it with --sequence")
        from face_strnn.report.figures import write_figures
        from face_strnn.saliency.projection_figures import write_projection_figures

        write_figures(Run(run))
        write_projection_figures(Run(run))
        console.print(f"[b]{escape(str(run / 'figures' / 'saliency.png'))}[/b]", soft_wrap=True)
        return
    if features is None:
        raise BadInput("--sequence needs --features, the feature store that the run was made with")
    if show_faces != (root is not None):
        raise BadInput("--show-faces needs --root, the folder of the data set, and --root is for --show-faces alone")
    from data_prep.datasets.registry import read_dataset
    from data_prep.store.store import FeatureStore
    from face_strnn.saliency.sequence_explanation import explain_sequence

    catalogue = read_dataset(dataset, root, part, whole) if root else None
    figure = explain_sequence(Run(run), FeatureStore.open(features), sequence, baseline, faces_from=catalogue)
    console.print(f"[b]{escape(str(figure))}[/b]", soft_wrap=True)
    if catalogue is not None and catalogue.data != "synthetic":
        console.print("It shows the subject's face: a local file, not to be passed on.", style="bold yellow")
