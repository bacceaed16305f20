"""One door to all data sets: ``load``."""

from __future__ import annotations

import os
from pathlib import Path

from fedlearn_lib._checked import checked
from fedlearn_lib.data import cifar, mnist, omniglot, shipped
from fedlearn_lib.data.dataset import Dataset

__all__ = ["Dataset", "load"]

SHIPPED = {
    "digits": shipped.digits,
    "mnist_mini": shipped.mnist_mini,
    "heart_disease": shipped.heart_disease,
}
NAMES = [*SHIPPED, "mnist", "fashion_mnist", "cifar10", "cifar100", "omniglot"]


@checked()
def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    part: str = "train",
) -> Dataset:
    """Load a data set, checked to the byte.

    =================  ==============================  =============  ===========================
    name               x                               y              client
    =================  ==============================  =============  ===========================
    ``digits``         [1797 64] in [0, 1]             digit          None
    ``mnist_mini``     [5000 28 28] in [0, 1]          digit          None
    ``heart_disease``  [920 13], ``HEART_COLUMNS``     0 or 1         hospital, 0 to 3
    ``mnist``          [60000 or 10000 28 28]          digit          writer, or None without
                                                                      QMNIST's table
    ``fashion_mnist``  [60000 or 10000 28 28]          0 to 9         None
    ``cifar10``        [50000 or 10000 3 32 32]        0 to 9         None
    ``cifar100``       [50000 or 10000 3 32 32]        0 to 99, fine  None
    ``omniglot``       [19280 or 13180 28 28] in       character in   20 · alphabet + drawer,
                       [0, 1], ink is 1                its alphabet   600 or 400 of 1,000
    =================  ==============================  =============  ===========================

    The first three need no network and ignore ``root`` and ``download`` (``digits`` needs
    scikit-learn). The others are looked for in ``root``, in the folder that the environment
    variable ``FEDLEARN_DATA`` names, for Fashion-MNIST in Debian's package
    ``dataset-fashion-mnist``, and in the download cache; the first place that has the files is
    taken, and their content must be right there (of Omniglot, the names of all files).

    Parameters
    ----------
    root : a folder with idx files (``root/mnist/raw``, ``root/MNIST/raw``,
        ``root/fashion_mnist/raw``, ``root/FashionMNIST/raw`` or root itself), with the binary
        version of CIFAR-10 (``root/cifar-10-batches-bin``, ``root/cifar-10-binary.tar.gz`` or
        root itself) or CIFAR-100 (``root/cifar-100-binary``, …), or with Omniglot's alphabets
        (``root/omniglot/images_background`` and ``images_evaluation``, ``root/omniglot`` or
        root itself). QMNIST's label tables are expected beside MNIST.
    download : fetch what is missing, into ``root`` if given, else into the cache; Omniglot has
        to be unpacked by hand.
    part : "train" or "test". The first three sets have no test part.

    Raises
    ------
    ValueError : an unknown name or part; a file that is truncated, altered or of another set.
    FileNotFoundError : the data are nowhere; it lists the places and the ways to get them.

    >>> x, y, client, name = load("heart_disease")
    >>> tuple(x.shape), client.bincount().tolist(), name
    ((920, 13), [303, 294, 123, 200], 'Heart disease')
    >>> load("mnist_mini").y.bincount().tolist()
    [500, 500, 500, 500, 500, 500, 500, 500, 500, 500]
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    if part not in ("train", "test"):
        raise ValueError(f'part must be "train" or "test", got {part!r}')
    folder = None if root is None else Path(root).expanduser()
    if name in cifar.FORMS:
        return cifar.load_cifar(name, part, folder, download)
    if name == "omniglot":
        return omniglot.load_omniglot(part, folder)
    if name not in SHIPPED:
        return mnist.load_idx(name, part, folder, download)
    if part == "test":
        raise ValueError(
            f'{name} has no test part, got part="test"; load part="train" and hold samples out '
            "with fedlearn_lib.data.split_parts"
        )
    return SHIPPED[name]()
