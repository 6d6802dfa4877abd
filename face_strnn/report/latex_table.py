"""The results of a reproduction as a LaTeX document with one table, ready to compile."""

import pandas as pd

from face_strnn.audit.audit import AUDIT_FAILED
from face_strnn.experiments.published import NON_SPARSE_REMARK, PUBLISHED_ABLATIONS
from face_strnn.experiments.results import means
from face_strnn.report.environment import latex_templates


def latex_table(table: pd.DataFrame, about: str, with_std: bool) -> str:
    """Write the means of a results table in LaTeX, figures in per cent, the best ones in bold
    (of methods whose audit does not fail).

    Args:
        table: see :func:`face_strnn.experiments.results.results_of`.
        about: the data, protocol and selection, for the caption.
        with_std: whether a column gives the standard deviation over seeds.

    Returns:
        A document; its ``table`` can be copied into another one that loads booktabs.
    """
    rows = means(table)
    return latex_templates().get_template("results.tex.j2").render(
        groups=[(group, members.to_dict("records")) for group, members in rows.groupby("group", sort=False)],
        best=rows.loc[~rows["label"].str.contains(AUDIT_FAILED, regex=False), ["accuracy", "uar"]].max(),
        published=PUBLISHED_ABLATIONS,
        remark=NON_SPARSE_REMARK,
        about=about,
        with_std=with_std,
    )  # fmt: skip
