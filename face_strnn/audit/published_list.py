"""A run on CK+ held against the published list of its labelled sequences."""

from collections.abc import Iterator

from data_prep.datasets.ckplus_list import DATA, compare_with_list
from face_strnn.audit.findings import Remark, some
from face_strnn.audit.run_files import NotApplicable, RunFiles


def published_list(files: RunFiles) -> Iterator[str]:
    """Yield sequences, subjects and labels that are not those of the published list.

    Raises:
        NotApplicable: the run is on other data.
    """
    if files.settings.data != DATA:
        raise NotApplicable
    rows = files.folds[["sequence", "subject", "emotion"]].drop_duplicates()
    compared = compare_with_list(rows.itertuples(index=False, name=None), files.settings.classes)
    for what, names in compared.differences.items():
        yield f"{len(names)} {what}: {some(names)} (folds.csv)"
    explained = _explained(files)
    unexplained = [name for name in compared.missing if name not in explained]
    if unexplained and not files.summary.partial:
        yield f"{len(unexplained)} of the published sequences missing: {some(unexplained)} (folds.csv)"
    yield Remark(compared.in_words)
    if unexplained and files.summary.partial:
        yield Remark(f"{len(unexplained)} missing, because the features were partial: {files.summary.partial}")
    if names := [name for name in compared.missing if name in explained]:
        yield Remark(f"missing: {', '.join(f'{name} ({explained[name]})' for name in names)}")


def _explained(files: RunFiles) -> dict[str, str]:
    """Why published sequences may be missing, by their names: what the summary, and so the page, names."""
    summary = files.summary
    return {**dict.fromkeys(summary.left_out, "no face"), **dict.fromkeys(summary.damaged, "damaged")}
