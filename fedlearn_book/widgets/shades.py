"""Colors by day and by night: dark ink becomes light ink, a hue stays and gets lighter."""

from __future__ import annotations

GROUND = 0.21  # lightness of the page at night, of 1


def at_night(color: str) -> str:
    """Return the color for a dark page that does what ``color`` does on white.

    Lightness is turned over in OKLab for grays. A hue keeps its angle, and is lifted until it can
    be told from the ground; of two blues the light one stays the lighter.

    >>> at_night("#ffffff"), at_night("#374151"), at_night("#0072b2")
    ('#181818', '#a4b0c3', '#328fd1')
    """
    light, a, b = to_oklab(color)
    chroma = (a * a + b * b) ** 0.5
    turned = 1 - (1 - GROUND) * light**1.6
    lifted = max(0.62, 0.28 + 0.65 * light)
    gray = max(0.0, 1 - chroma / 0.08)
    return from_oklab(gray * turned + (1 - gray) * lifted, a, b)


def to_oklab(color: str) -> tuple[float, float, float]:
    """Return lightness, green-red and blue-yellow of ``#rrggbb``."""
    r, g, b = (_linear(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5))
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def from_oklab(light: float, a: float, b: float) -> str:
    """Return the nearest ``#rrggbb``."""
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    parts = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _curved(min(max(v, 0.0), 1.0))):02x}" for v in parts)


def _linear(v: float) -> float:
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


def _curved(v: float) -> float:
    return 12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055
