"""Real data sets. Three small ones ship with the package; larger ones are downloaded once, checked, and kept in a cache.

fashion   5000 + 1000 grey images 14 x 14 in ten balanced classes: 2x2 means of Fashion-MNIST (Xiao, Rasul & Vollgraf, Zalando SE 2017,
          MIT licence), the first 500 (100) of each class, shuffled with seed 0.
austen    "Pride and Prejudice", Jane Austen 1813 (public domain), 684,767 characters; text as in the R package janeaustenr (Julia Silge,
          MIT licence).
diabetes  442 patients, ten measurements each and how far the disease had come a year later (Efron, Hastie, Johnstone & Tibshirani, "Least
          angle regression", 2004; as in scikit-learn, BSD licence).
mnist     60000 + 10000 grey images 28 x 28 (LeCun, Cortes & Burges 1998).                      download, 11 MB
cifar10   50000 + 10000 colour images 32 x 32 (Krizhevsky 2009).                                download, 170 MB
shakespeare   1,115,394 characters (Karpathy's tiny Shakespeare).                               download, 1 MB

The cache folder is the system's own for caches, or the environment variable METRIZED_CACHE.
"""
import bz2
import io
import os
import pickle
import tarfile
from collections.abc import Iterator
from importlib.resources import files
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .arrays import Array, to_device


class Images(NamedTuple):
    """Pictures and their classes: x uint8 [samples, height, width] or [samples, height, width, 3], y integers [samples]."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


class Text(NamedTuple):
    """A text as integers [characters], each the place of its character in `alphabet`."""

    tokens: np.ndarray
    alphabet: str

    def decode(self, tokens: np.ndarray) -> str:
        """The characters of integers [n]."""
        return "".join(self.alphabet[i] for i in tokens)


class Table(NamedTuple):
    """Measurements x [samples, features], one outcome y [samples], and the names of the features."""

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]


class DownloadError(OSError):
    """A data set could not be fetched, or what came is not what was expected. Nothing is left in the cache."""


REMOTE = {  # file: (address, sha256)
    "mnist.npz": ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
                  "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),
    "cifar-10-python.tar.gz": ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                               "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
    "shakespeare.txt": ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
}


def load(name: str) -> Images | Text | Table:
    """A data set by name. Raises ValueError for a name that is not there, DownloadError where a download fails."""
    if name not in SETS:
        raise ValueError(f"no data set is called {name!r}; there are {', '.join(SETS)}")
    return SETS[name]()


def cache_folder() -> Path:
    """Where downloads are kept: $METRIZED_CACHE, or the system's folder for caches."""
    import pooch  # not at the top, for in a browser it cannot be imported
    return Path(os.environ.get("METRIZED_CACHE") or pooch.os_cache("metrized")).resolve()


def fetch(file: str) -> Path:
    """The path of a file of REMOTE in the cache, downloaded and checked if need be. Raises DownloadError, and then leaves nothing behind."""
    address, sha256 = REMOTE[file]
    try:
        import pooch
    except ImportError as error:
        raise DownloadError(f"{file} would have to be downloaded, and in a browser nothing can be ({error}); run this in Colab or at home, "
                            f'or use a set that ships with the package: {", ".join(SHIPPED)}') from error
    try:
        return Path(pooch.retrieve(address, f"sha256:{sha256}", fname=file, path=cache_folder(), progressbar=True))
    except Exception as error:  # requests, urllib3, socket, hash and disk errors all mean one thing here
        raise DownloadError(f"could not download {file} from {address} ({type(error).__name__}: {error}). Try again with a network, put the file at "
                            f'{cache_folder() / file} yourself, or use a set that ships with the package: {", ".join(SHIPPED)}') from error


def fashion() -> Images:
    """Fashion-MNIST at 14 x 14, 5000 + 1000; ships with the package."""
    with np.load(io.BytesIO(_shipped("fashion_mnist_14x14.npz"))) as arrays:
        return Images(*(arrays[name] for name in Images._fields))


def austen() -> Text:
    """"Pride and Prejudice"; ships with the package."""
    return text(bz2.decompress(_shipped("pride_and_prejudice.txt.bz2")).decode())


def diabetes() -> Table:
    """Diabetes progression, 442 patients, in the units of the study; ships with the package."""
    head, *lines = _shipped("diabetes.csv").decode().split()
    rows = np.array([line.split(",") for line in lines], float)
    return Table(rows[:, :-1], rows[:, -1], tuple(head.split(",")[:-1]))


def mnist() -> Images:
    """MNIST, downloaded."""
    with np.load(fetch("mnist.npz")) as arrays:
        return Images(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])


def cifar10() -> Images:
    """CIFAR-10, downloaded."""
    with tarfile.open(fetch("cifar-10-python.tar.gz")) as tar:
        part = lambda name: pickle.load(tar.extractfile(f"cifar-10-batches-py/{name}"), encoding="bytes")
        train, test = [part(f"data_batch_{i}") for i in range(1, 6)], [part("test_batch")]
    picture = lambda parts: np.concatenate([p[b"data"] for p in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    label = lambda parts: np.concatenate([p[b"labels"] for p in parts])
    return Images(picture(train), label(train), picture(test), label(test))


def shakespeare() -> Text:
    """Tiny Shakespeare, downloaded."""
    return text(fetch("shakespeare.txt").read_text())


SHIPPED = {"fashion": fashion, "austen": austen, "diabetes": diabetes}
SETS = SHIPPED | {"mnist": mnist, "cifar10": cifar10, "shakespeare": shakespeare}


def _shipped(file: str) -> bytes:
    return (files("metrized") / "data_files" / file).read_bytes()


def text(characters: str) -> Text:
    """Characters as integers, numbered in the order of the sorted alphabet."""
    codes = np.frombuffer(characters.encode("utf-32-le"), np.uint32)
    alphabet, tokens = np.unique(codes, return_inverse=True)
    return Text(tokens, "".join(map(chr, alphabet)))


def standardize(x: np.ndarray, mean: np.ndarray | None = None, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as rows [samples, features], minus the feature `mean` (their own unless given), each row scaled to RMS 1; and that mean.

    A linear layer measures its input by the RMS, so this makes every sample a point of the unit ball.
    """
    rows = x.reshape(len(x), -1).astype(np.float64) / 255
    mean = rows.mean(0) if mean is None else mean
    rows = rows - mean
    size = np.sqrt((rows * rows).mean(1, keepdims=True))
    return (rows / np.maximum(size, 1e-12) * (size > 1e-12)).astype(dtype), mean  # below, a picture is the mean up to rounding


def one_hot(y: np.ndarray, classes: int = 10, dtype=np.float32) -> np.ndarray:
    """Targets [samples, classes] of mean 0 and RMS 1 over the classes: (onehot - 1/n) / sqrt(1/n - 1/n^2).

    Raises ValueError for a label that is no class.
    """
    if not ((0 <= y) & (y < classes)).all():
        raise ValueError(f"one_hot needs labels from 0 to {classes - 1}, got {y.min()} to {y.max()}")
    return ((y[:, None] == np.arange(classes)) - 1 / classes).astype(dtype) / np.sqrt(1 / classes - 1 / classes ** 2).astype(dtype)


def batches(n: int, size: int, rng: np.random.Generator, device: str = "cpu") -> Iterator[Array]:
    """Endless index arrays [size] into n samples: each pass visits a fresh permutation, whatever is left over at its end is dropped.

    They are drawn on the host and lie on `device`, where the data are. Raises ValueError unless 1 <= size <= n.
    """
    if not (isinstance(size, Integral) and 1 <= size <= n):
        raise ValueError(f"a batch holds 1 to {n} of the {n} samples, got size {size}")
    return _batches(n, size, rng, device)


def _batches(n, size, rng, device):
    while True:
        order = to_device(rng.permutation(n), device)
        yield from (order[i:i + size] for i in range(0, n - size + 1, size))
