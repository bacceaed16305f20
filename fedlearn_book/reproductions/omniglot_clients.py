"""Clients of Omniglot: four people who write in one alphabet, three drawings a character to learn.

One person drew every character once, so a client of one person could not be tested on a character
that it has adapted to. Four people of one alphabet are a client, a class that learns to write: of
each character three of their drawings, chosen by chance, are there to learn from, and the fourth
is scored. Nobody belongs to two clients, and 50 alphabets make 250 clients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from fedlearn_lib import Clients, load
from fedlearn_lib.data import Dataset

ALPHABETS, DRAWERS, GROUP, CLASSES = 50, 20, 4, 55
TUNE, KNOWN = 8, 30  # alphabets to choose on and to train on; no training has seen the other 12
DIRECTIONS, CELL = 4, 4  # of edges, and the pixels of a side over which they are averaged
INPUTS = DIRECTIONS * (28 // CELL) ** 2
Sides = tuple[Clients, Clients]  # the same clients: what they adapt on, what they are scored on


class World(NamedTuple):
    """The clients of one experiment.

    ``known`` train. ``drawers`` are other people who write in the same alphabets, ``alphabets``
    people of alphabets that nobody has trained on; in a search both are there to choose on.
    """

    known: Sides
    drawers: Sides
    alphabets: Sides


def load_all(root: str | None) -> Dataset:
    """Both parts of Omniglot, x [32460 196]: edges with mean 0 and standard deviation 1."""
    parts = [load("omniglot", root=root, part=part) for part in ("train", "test")]
    x = torch.cat([edges(part.x) for part in parts])
    client = torch.cat([part.client for part in parts if part.client is not None])
    y = torch.cat([part.y for part in parts])
    return Dataset((x - x.mean()) / x.std(), y, client, parts[0].name)


def edges(x: Tensor) -> Tensor:
    """Turn drawings [N 28 28] into edges [N 196]: how strong in four directions, in 7 × 7 cells.

    >>> bar = torch.zeros(1, 28, 28)
    >>> bar[0, 8:20, 12:16] = 1
    >>> across, _, along, _ = edges(bar).view(4, 49).sum(1)
    >>> bool(across > 2 * along)
    True
    """
    blur = torch.outer(*2 * [torch.tensor([0.25, 0.5, 0.25])])
    smooth = pad(conv2d(x[:, None], blur[None, None], padding=1), (1, 1, 1, 1))[:, 0]
    dx = smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]
    dy = smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1]
    angle, size = torch.atan2(dy, dx), (dx**2 + dy**2).sqrt()
    turns = [torch.cos(angle - math.pi * k / DIRECTIONS) ** 4 for k in range(DIRECTIONS)]
    return avg_pool2d(torch.stack([size * turn for turn in turns], 1), CELL).flatten(1).sqrt()


def make_world(data: Dataset, seed: int, *, search: bool = False) -> World:
    """Deal alphabets and people to the roles of one seed.

    The eight alphabets of a search are the same for all seeds and never reported; of each known
    alphabet three groups of people train, the fourth is there for a search, the fifth is reported.
    """
    first = torch.randperm(ALPHABETS, generator=torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1 + seed)
    rest = first[TUNE:][torch.randperm(ALPHABETS - TUNE, generator=g)]
    known, new = rest[:KNOWN].tolist(), (first[:TUNE] if search else rest[KNOWN:]).tolist()
    people = {a: torch.randperm(DRAWERS, generator=g).split(GROUP) for a in known + new}
    roles = [
        [(a, group) for a in known for group in people[a][:3]],
        [(a, people[a][3 if search else 4]) for a in known],
        [(a, group) for a in new for group in people[a][:2]],
    ]
    return World(*(_sides(data, members, g) for members in roles))


def _sides(data: Dataset, members: list[tuple[int, Tensor]], g: torch.Generator) -> Sides:
    """Give each group its drawings: three of each character to learn from, one to be scored on."""
    assert data.client is not None
    learn, score = [], []
    for alphabet, people in members:
        own = (data.client // DRAWERS == alphabet).nonzero()
        rows = own.view(-1, DRAWERS)[:, people]  # [characters 4]: the loader sorts by both
        rows = rows.gather(1, torch.rand(rows.shape, generator=g).argsort(1))
        learn.append(rows[:, 1:].flatten())
        score.append(rows[:, 0])
    alike = [1 / len(members)] * len(members)
    return Clients.of(data.x, data.y, learn, alike), Clients.of(data.x, data.y, score, alike)
