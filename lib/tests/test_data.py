"""The data sets that ship, the loaders of those that are downloaded, and what prepares them for a network."""
import hashlib
import io
import pickle
import tarfile
from importlib.resources import files
from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from metrized import data

SHIPPED = {
    "fashion_mnist_14x14.npz": "488a4334527aac918297399e2dd3fcfc9fada292ef3d71e047355a2eae16f996",
    "pride_and_prejudice.txt.bz2": "410ae34feb5fc4d247d390cfacd33f71b53074e81fcc63772f5cd38a4641c787",
}


@pytest.fixture(scope="module")
def fashion():
    return data.load("fashion")


@pytest.fixture(scope="module")
def austen():
    return data.load("austen")


@pytest.mark.parametrize("file", SHIPPED)
def test_shipped_files_are_the_ones_we_know(file):
    """Byte by byte, by sha256."""
    assert hashlib.sha256((files("metrized") / "data_files" / file).read_bytes()).hexdigest() == SHIPPED[file]


def test_fashion(fashion):
    """5000 + 1000 grey pictures of 14 x 14 bytes, ten classes of equal size, shuffled, none twice in both parts."""
    assert fashion.train_x.shape == (5000, 14, 14) and fashion.test_x.shape == (1000, 14, 14)
    assert fashion.train_x.dtype == fashion.test_x.dtype == np.uint8 and fashion.train_x.max() > 200
    for y, each in ((fashion.train_y, 500), (fashion.test_y, 100)):
        assert y.dtype.kind in "iu" and (np.bincount(y) == [each] * 10).all() and len(set(y[:50].tolist())) > 5
    train, test = ({picture.tobytes() for picture in x} for x in (fashion.train_x, fashion.test_x))
    assert not train & test


def test_pictures_carry_their_classes(fashion):
    """The nearest class mean finds three quarters of the labels of unseen pictures, where guessing finds a tenth."""
    x, mean = data.standardize(fashion.train_x)
    z, _ = data.standardize(fashion.test_x, mean)
    centres = np.stack([x[fashion.train_y == c].mean(0) for c in range(10)])
    found = ((z[:, None] - centres) ** 2).sum(-1).argmin(1)
    assert (found == fashion.test_y).mean() > 0.65


def test_diabetes_is_scikit_learns():
    ours, theirs = data.load("diabetes"), load_diabetes(scaled=False)
    assert np.array_equal(ours.x, theirs.data) and np.array_equal(ours.y, theirs.target) and list(ours.names) == theirs.feature_names


def test_austen(austen):
    """684,767 characters, from the title to the last line."""
    whole = austen.decode(austen.tokens)
    assert len(whole) == 684_767 and whole.upper().startswith("PRIDE AND PREJUDICE")
    assert "It is a truth universally acknowledged" in whole and "Gardiners" in whole[-1000:]
    assert austen.tokens.dtype.kind in "iu" and austen.tokens.min() == 0 and austen.tokens.max() == len(austen.alphabet) - 1


@pytest.mark.parametrize("characters", ["to be, or not to be\n", "aAbB 0\t", "naïve — 日本 🙂 e\u0301", "x", "\ufeffa\x00b"])
def test_text_round_trips(characters):
    """decode undoes text, for every character of Unicode; the alphabet is sorted and holds each once."""
    made = data.text(characters)
    assert made.decode(made.tokens) == characters and made.tokens.shape == (len(characters),)
    assert made.alphabet == "".join(sorted(set(characters)))


# The loaders of what is downloaded, on small files of the same form.


def test_mnist_loader(monkeypatch, tmp_path, rng):
    """Each array goes to the field it belongs to."""
    arrays = {name: rng.integers(0, 255, 3).astype(np.uint8) for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setattr(data, "fetch", lambda file: tmp_path / file)
    images = data.load("mnist")
    for field, name in (("train_x", "x_train"), ("train_y", "y_train"), ("test_x", "x_test"), ("test_y", "y_test")):
        assert (getattr(images, field) == arrays[name]).all()


def test_cifar10_loader(monkeypatch, tmp_path, rng):
    """Rows of red, green and blue planes become pictures [height, width, 3]; the five parts follow each other."""
    names, raw = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], rng.integers(0, 255, (6, 2, 3072)).astype(np.uint8)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        for i, name in enumerate(names):
            blob = pickle.dumps({b"data": raw[i], b"labels": [i, 9 - i]})
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(blob)
            tar.addfile(member, io.BytesIO(blob))
    monkeypatch.setattr(data, "fetch", lambda file: tmp_path / file)
    images = data.load("cifar10")
    assert images.train_x.shape == (10, 32, 32, 3) and images.test_x.shape == (2, 32, 32, 3)
    assert images.train_x[3, 5, 7, 2] == raw[1, 1, 2 * 1024 + 5 * 32 + 7] and images.test_x[0, 31, 0, 1] == raw[5, 0, 1024 + 31 * 32]
    assert images.train_y.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5] and images.test_y.tolist() == [5, 4]


def test_shakespeare_loader(monkeypatch, tmp_path):
    """A downloaded text is the text."""
    (tmp_path / "shakespeare.txt").write_text("First Citizen:\n")
    monkeypatch.setattr(data, "fetch", lambda file: tmp_path / file)
    made = data.load("shakespeare")
    assert made.decode(made.tokens) == "First Citizen:\n"


# Preparation.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardize_gives_rows_of_rms_one(fashion, dtype):
    """Each row has RMS 1; before that, each feature had mean 0 over the pictures."""
    rows, mean = data.standardize(fashion.train_x[:300], dtype=dtype)
    assert rows.shape == (300, 196) and rows.dtype == dtype and mean.shape == (196,)
    np.testing.assert_allclose((rows.astype(float) ** 2).mean(1), 1, rtol=1e-6)
    np.testing.assert_allclose(mean, fashion.train_x[:300].reshape(300, -1).mean(0) / 255, rtol=1e-12)
    centred = fashion.train_x[0].reshape(-1) / 255 - mean
    np.testing.assert_allclose(rows[0], centred / np.sqrt((centred ** 2).mean()), rtol=1e-5, atol=1e-6)


def test_standardize_by_a_given_mean(fashion):
    """Test pictures are moved by the training pictures' mean, which comes back as it went in."""
    rows, mean = data.standardize(fashion.train_x, dtype=np.float64)
    again, same = data.standardize(fashion.train_x[:7], mean, np.float64)
    assert same is mean
    np.testing.assert_allclose(again, rows[:7], rtol=1e-14)


def test_standardize_leaves_the_mean_itself_at_zero():
    """A row that is the mean has no direction: it becomes zeros, and nothing is warned of."""
    with np.errstate(all="raise"):
        assert not data.standardize(np.zeros((3, 2, 2), np.uint8), np.zeros(4))[0].any()


def test_standardize_sees_the_faintest_contrast():
    """One pixel one shade brighter than in the mean is a picture, of RMS 1 like any other."""
    x = np.full((2, 28, 28), 200, np.uint8)
    x[0, 3, 4] += 1
    np.testing.assert_allclose((data.standardize(x)[0] ** 2).mean(1), 1, rtol=1e-6)


def test_standardize_does_not_blow_up_rounding():
    """Equal pictures, of any shade, are all the mean: what rounding leaves of them is not made a picture of RMS 1."""
    for shade in range(256):
        assert not data.standardize(np.full((3, 2, 2), shade, np.uint8))[0].any(), shade


def test_standardize_repairs_nothing():
    """A pixel that is no number is not made one: its picture stays NaN, for the objective to refuse."""
    assert np.isnan(data.standardize(np.array([[1.0, np.nan], [2.0, 3.0]]), np.zeros(2))[0][0]).all()


def test_one_hot():
    """Over the classes: mean 0, RMS 1, and the largest entry at the label."""
    y = np.array([3, 0, 4, 4])
    for dtype in (np.float32, np.float64):
        t = data.one_hot(y, classes=5, dtype=dtype)
        assert t.shape == (4, 5) and t.dtype == dtype and (t.argmax(1) == y).all() and len(np.unique(t[0])) == 2
        np.testing.assert_allclose(t.mean(1), 0, atol=1e-6)
        np.testing.assert_allclose((t ** 2).mean(1), 1, rtol=1e-6)


# Batches.


@pytest.mark.parametrize("n, size", [(12, 4), (13, 4), (5, 5), (3, 1)])
def test_each_pass_is_a_permutation(n, size):
    """A pass has n // size batches of distinct samples, without repeats; with no rest it visits all."""
    stream, passes = data.batches(n, size, np.random.default_rng(0)), []
    for _ in range(40):
        batches = list(islice(stream, n // size))
        assert {b.shape for b in batches} == {(size,)}
        passes.append(np.concatenate(batches))
        assert len(set(passes[-1].tolist())) == (n // size) * size and passes[-1].min() >= 0 and passes[-1].max() < n
    assert len({p.tobytes() for p in passes}) > 3
    assert set(np.concatenate(passes).tolist()) == set(range(n))


def test_batches_come_from_their_seed():
    """The same seed gives the same batches, another seed others."""
    take = lambda seed: np.stack(list(islice(data.batches(100, 10, np.random.default_rng(seed)), 25)))
    assert (take(1) == take(1)).all() and (take(1) != take(2)).any()
