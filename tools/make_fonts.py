"""Cut the book's fonts, book/_assets/fonts/*.woff2, out of TeX Gyre Pagella and DejaVu Sans.

``python -m tools.make_fonts FOLDER``, a folder that holds ``tex-gyre/`` and ``tex-gyre-math/`` as
Debian's packages fonts-texgyre and fonts-texgyre-math install them. DejaVu Sans, the letters of the
plots, comes with matplotlib.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib

OUT = Path(__file__).parents[1] / "book" / "_assets" / "fonts"
TEXT = (
    "U+20-7E,U+A0-17F,U+2010-2027,U+2030,U+2032,U+2033,U+2039,U+203A,U+20AC,U+2122,"
    "U+2190-2193,U+2212,U+370-3FF"
)
MATHS = (
    "U+20-7E,U+A0-FF,U+131,U+237,U+2C6,U+2C7,U+2D8,U+2D9,U+2DC,U+302-305,U+307,U+308,U+20D7,"
    "U+391-3A9,U+3B1-3C9,U+3D1,U+3D5,U+3D6,U+3F0,U+3F1,U+3F5,U+2016,U+2020-2022,U+2026,"
    "U+2032-2034,U+203E,U+2057,U+2061-2064,U+2102,U+210A-2113,U+2115,U+2118-211D,U+2124,U+2128,U+212C,"
    "U+212D,U+2130,U+2131,U+2133,U+2135,U+2190-2199,U+21A6,U+21D0-21D5,U+2200-2213,U+2215-223C,"
    "U+2243,U+2245,U+2248,U+224D,U+2254,U+2260-2265,U+226A,U+226B,U+2272,U+2273,U+227A-2287,"
    "U+228A,U+228B,U+2293-22A5,U+22C0-22C6,U+22EE-22F1,U+2308-230B,U+23B4,U+23B5,U+23DC-23DF,"
    "U+25A0,U+25A1,U+25EF,U+27C2,U+27E8,U+27E9,U+27F5-27FA,U+27FC,U+2A7D,U+2A7E,U+2AAF,U+2AB0,"
    "U+1D400-1D4CF,U+1D504-1D56B,U+1D6A4,U+1D6A5,U+1D6A8-1D7CB,U+1D7CE-1D7E1"
)
LABELS = (
    "U+20-7E,U+A0-17F,U+2BC,U+370-3FF,U+1D62-1D6A,U+2010-2027,U+2030,U+2032,U+2033,U+2039,U+203A,"
    "U+2070-2094,U+20AC,U+2113,U+2122,U+2190-2199,U+2202,U+2207,U+2208,U+2211,U+2212,U+2215-221A,"
    "U+221E,U+2225,U+2248,U+2260-2265,U+22C5,U+2318,U+25A0-25CF,U+2713,U+2717"
)
SANS = Path(matplotlib.get_data_path(), "fonts", "ttf")
FONTS = {
    "tex-gyre/texgyrepagella-regular.otf": (TEXT, "kern,liga,lnum"),
    "tex-gyre/texgyrepagella-italic.otf": (TEXT, "kern,liga,lnum"),
    "tex-gyre/texgyrepagella-bold.otf": (TEXT, "kern,liga,lnum"),
    "tex-gyre-math/texgyrepagella-math.otf": (MATHS, ""),
    f"{SANS}/DejaVuSans.ttf": (LABELS, "kern"),
    f"{SANS}/DejaVuSans-Bold.ttf": (LABELS, "kern"),
}


def main(folder: str) -> None:
    OUT.mkdir(exist_ok=True)
    for name, (characters, features) in FONTS.items():
        target = OUT / f"{Path(name).stem.removeprefix('texgyre').lower()}.woff2"
        command = [
            sys.executable,
            "-m",
            "fontTools.subset",
            str(Path(folder, name)),  # an absolute name stays what it is
            f"--unicodes={characters}",
        ]
        hints = ["--no-hinting"] if name.endswith(".ttf") else []  # two fifths of the file
        options = [
            *hints,
            f"--layout-features={features}",
            "--flavor=woff2",
            f"--output-file={target}",
        ]
        subprocess.run([*command, *options], check=True)
        print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
