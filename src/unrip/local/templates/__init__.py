"""Configuration files of the embedded servers, as text with `$names` to fill in."""

from importlib.resources import files
from string import Template


def render(name: str, **values: object) -> str:
    """Return a template with every name filled in; a name without a value is a KeyError."""
    return Template((files(__name__) / name).read_text(encoding="utf-8")).substitute(values)
