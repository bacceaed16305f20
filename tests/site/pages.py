"""A page that holds figures, for the tests of figures in a browser."""

from __future__ import annotations

import base64

from fedlearn_book.widgets import page

THEMES = {
    "light": "background:#fff;color:#222832",
    "dark": "background:#14181e;color:#ced6dd;color-scheme:dark",
}


def html_of(figures: tuple[str, ...], theme: str) -> str:
    """A page with figures on it, in one of the book's two themes."""
    style = f"body{{font:16px sans-serif;max-width:780px;margin:1rem auto;{THEMES[theme]}}}"
    return (
        f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Figures</title>'
        f"<style>{style}</style></head><body><main><h1>Figures</h1>"
        f"{'<hr>'.join(figures)}</main></body></html>"
    )


def module(name: str) -> str:
    """The figure's own functions, as something that a page can import."""
    coded = base64.b64encode(page.module_source(name).encode()).decode()
    return f"data:text/javascript;base64,{coded}"
