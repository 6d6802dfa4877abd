"""The templates of all pages, in ``templates/``."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_templates() -> Environment:
    """Return the environment that renders them: it escapes what it is given, and a name that is missing is an error."""
    return Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        loader=PackageLoader("face_strnn.report"),
    )
