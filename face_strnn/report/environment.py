"""The templates of all pages and of the LaTeX table, in ``templates/``."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from face_strnn.report.formatting import interval, is_known, p_value, percent

_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def page_templates() -> Environment:
    """Return the environment of the pages: values are escaped, and an undefined name is an error."""
    return _environment(autoescape=True)


def latex_templates() -> Environment:
    """Return the environment of LaTeX, whose braces are LaTeX's: ``<< variable >>``, ``<% statement %>``.

    Only the filter ``latex`` escapes.
    """
    environment = _environment(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["latex"] = escape_latex
    return environment


def escape_latex(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)


def _environment(**syntax: str | bool) -> Environment:
    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        loader=PackageLoader("face_strnn.report"),
        **syntax,
    )
    environment.filters |= {"percent": percent, "interval": interval, "p": p_value}
    environment.tests["known"] = is_known
    return environment
