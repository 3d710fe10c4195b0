"""HTML and SVG as text in which nothing is left unescaped by mistake."""

from __future__ import annotations

from html import escape


class Html(str):
    """Text that is markup already. Any other text is escaped wherever it goes."""

    __slots__ = ()


def text(value: str) -> Html:
    """Plain text, escaped; markup as it is."""
    return value if isinstance(value, Html) else Html(escape(value))


def join(*parts: str) -> Html:
    """Parts one after the other, each escaped unless it is markup."""
    return Html("".join(text(part) for part in parts))


def element(tag: str, *children: str, **attributes: str | float | None) -> Html:
    """``<tag attributes>children</tag>``.

    Args:
        tag: its name; never from outside.
        children: text, which is escaped, or markup.
        attributes: underscores in a name become hyphens, a last one goes (``class_``); ``None``
            leaves the attribute out, numbers are written with at most two decimals.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
