"""The results of a reproduction as a LaTeX document of one table, which compiles as it is."""

import pandas as pd

from face_strnn.experiments.published import NON_SPARSE_REMARK, PUBLISHED_ABLATIONS
from face_strnn.experiments.results import means

_ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
_DASH = "--"


def latex_table(table: pd.DataFrame, about: str, with_spread: bool) -> str:
    """Write the means of a results table in LaTeX, figures in per cent, the best ones in bold.

    Args:
        table: see :func:`face_strnn.experiments.results.results_of`.
        about: what data, protocol and selection they are of; stands in the caption.
        with_spread: whether a column tells the spread over seeds.

    Returns:
        A document; its ``table`` can be copied into another one that loads booktabs.
    """
    rows = means(table)
    best = {column: rows[column].max() for column in ("accuracy", "uar")}
    headings = ["Method", "Accuracy", "UAR", "Folds", *(["Seeds"] if with_spread else []), "Difference"]
    headings += ["McNemar $p$", "Permutation $p$", "Holm $p$"]
    lines = []
    for group, of_group in rows.groupby("group", sort=False):
        lines += [r"\midrule"] if lines else []
        lines += [f"% {group}"]
        lines += [_line(row, best, with_spread) for row in of_group.to_dict("records")]
    published = [
        f"{escape(one.label)}, {escape(one.data)} & {one.accuracy:.1f}{_plus_minus(one.spread, 1)} & "
        f"\\multicolumn{{{len(headings) - 2}}}{{l}}{{{escape(one.table)}}} \\\\"
        for one in PUBLISHED_ABLATIONS
    ]
    body = "\n".join(
        [
            r"\toprule",
            " & ".join(headings) + r" \\",
            r"\midrule",
            *lines,
            r"\midrule",
            f"\\multicolumn{{{len(headings)}}}{{l}}{{\\emph{{Published, other folds or data}}}} \\\\",
            *published,
            r"\bottomrule",
        ]
    )
    spread = " Seeds: mean $\\pm$ standard deviation over seeds." if with_spread else ""
    caption = (
        f"{escape(about)} In per cent; intervals: 95\\,\\%, bootstrap over subjects. Folds: mean $\\pm$ standard "
        f"deviation over folds.{spread} Difference to the STRNN in points, paired bootstrap over subjects; permutation "
        "test over subjects, adjusted by Holm's method; McNemar's exact test takes sequences for independent. UAR: "
        f"mean class recall. {escape(NON_SPARSE_REMARK)}"
    )
    return f"""\\documentclass{{article}}
\\usepackage[landscape,margin=1.5cm]{{geometry}}
\\usepackage{{booktabs}}
\\begin{{document}}
\\begin{{table}}
\\centering
\\footnotesize
\\setlength{{\\tabcolsep}}{{4pt}}
\\setlength{{\\belowcaptionskip}}{{6pt}}
\\caption{{{caption}}}
\\begin{{tabular}}{{l{"r" * (len(headings) - 1)}}}
{body}
\\end{{tabular}}
\\end{{table}}
\\end{{document}}
"""


def escape(text: str) -> str:
    """Return text whose characters mean themselves in LaTeX."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def _line(row: dict, best: dict[str, float], with_spread: bool) -> str:
    cells = [escape(row["label"])]
    for column in best:
        value = f"{100 * row[column]:.1f}"
        value = f"\\textbf{{{value}}}" if row[column] == best[column] else value
        cells.append(value + _interval(row[f"{column}_low"], row[f"{column}_high"]))
    cells.append(f"{100 * row['mean_over_folds']:.1f}{_plus_minus(row['std_over_folds'])}")
    if with_spread:
        spread = _plus_minus(row["std_over_seeds"])
        cells.append(f"{100 * row['accuracy']:.1f}{spread}" if spread else _DASH)
    if pd.isna(row["difference"]):
        cells.append(_DASH)
    else:
        difference = f"${100 * row['difference']:+.1f}$"
        cells.append(difference + _interval(row["difference_low"], row["difference_high"], signed=True))
    cells += [_p(row[name]) for name in ("mcnemar_p", "permutation_p", "permutation_holm")]
    return " & ".join(cells) + r" \\"


def _interval(low: float | None, high: float | None, signed: bool = False) -> str:
    if pd.isna(low) or pd.isna(high):
        return ""
    form = "+.1f" if signed else ".1f"
    return f" [${100 * low:{form}}$, ${100 * high:{form}}$]"


def _plus_minus(fraction: float | None, factor: float = 100) -> str:
    return "" if pd.isna(fraction) else f" $\\pm$ {factor * fraction:.1f}"


def _p(value: float | None) -> str:
    if pd.isna(value):
        return _DASH
    return f"{value:.4f}" if value >= 0.0001 else "$<$ 0.0001"
