"""A fork names itself: every address of the course changes, whoever it belonged to before, and nothing else does."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import test_setup
from hypothesis import given, settings
from hypothesis import strategies as st

from metrized.teach.retarget import HISTORY, Repository, forms, present, rewrite, tracked

ROOT = Path(__file__).parents[2]
OURS = present(ROOT)
FORK = Repository("some-body_edu", "deep.learning-2")
TERM = Repository("Some-Body", "some-body.github.io", "fall/2026")
needs_git = pytest.mark.skipif(not ((ROOT / ".git").exists() and shutil.which("git")), reason="no git checkout: what it keeps cannot be told")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "core.autocrlf=false", "-c", "core.safecrlf=false", *arguments], cwd=folder, check=True, capture_output=True)


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    """A checkout that keeps these files."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    git(folder, "init", "--quiet")
    git(folder, "add", "--force", ".")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but what git has for itself."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of what git keeps of the course; the test is inside it."""
    monkeypatch.chdir(put(tmp_path, {path.as_posix(): (ROOT / path).read_bytes() for path in tracked(ROOT) if (ROOT / path).is_file()}))
    return tmp_path


def naming(repository: Repository, contents: dict[str, bytes]) -> dict[str, int]:
    """How often each file has OWNER/REPO, by looking for nothing but that."""
    return {name: count for name, content in contents.items() if name not in HISTORY and (count := content.count(str(repository).encode()))}


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize("fork", [FORK, TERM], ids=str)
def test_a_fork_names_itself_everywhere_and_can_go_back(fork, copy, capsys, metrized, monkeypatch):
    before = files(copy)
    assert len(naming(OURS, before)) >= 27
    call = ("retarget", str(fork), "--branch", fork.branch)
    assert metrized(*call, "--dry-run") == 0 and files(copy) == before
    said = capsys.readouterr().out
    assert metrized(*call) == 0
    after = files(copy)
    assert capsys.readouterr().out.splitlines()[:-1] == said.splitlines()[:-1]
    assert {name for name in after if after[name] != before[name]} == set(re.findall(r"^(.+): \d+ places?$", said, re.M))
    assert not naming(OURS, after) and naming(fork, after) == naming(OURS, before)
    assert {before[name] == after[name] for name in HISTORY & {*before}} == {True} and present(copy) == fork
    assert metrized(*call) == 0 and files(copy) == after and capsys.readouterr().out.endswith("already.\n")
    assert metrized("release") == 0 and files(copy) == after
    monkeypatch.setattr(test_setup, "ROOT", copy)
    monkeypatch.setitem(test_setup.PROJECT["urls"], "Repository", fork.url)
    test_setup.test_one_repository_address()
    assert metrized("retarget", str(OURS), "--branch", OURS.branch) == 0 and files(copy) == before


@needs_git
def test_links_and_installations_follow_the_branch(copy, metrized):
    """Colab shows the branch, pip installs from it, the site is made from it; the folder of a clone is called like the repository."""
    assert metrized("retarget", str(TERM), "--branch", TERM.branch) == 0
    readme = (copy / "README.md").read_text(encoding="utf-8")
    assert f"git clone {TERM.url} && cd {TERM.name}\n" in readme
    for path in [*(copy / "lectures").glob("*.ipynb"), *(copy / "homework").glob("*.ipynb")]:
        notebook, text = path.relative_to(copy).as_posix(), "".join("".join(cell["source"]) for cell in json.loads(path.read_bytes())["cells"])
        badge = f"https://colab.research.google.com/github/{TERM}/blob/fall/2026/{notebook})"
        assert badge in text and badge in readme and f'"git+{TERM.url}@fall/2026#subdirectory=lib"' in text, notebook


CASES = {  # what a line says now, and of alice's fork on the branch `next`
    "https://github.com/me/it.": "https://github.com/alice/a.b.",
    "git@github.com:me/it.git": "git@github.com:alice/a.b.git",
    "[![Open](x)](https://colab.research.google.com/github/me/it/blob/main/a.ipynb)":
        "[![Open](x)](https://colab.research.google.com/github/alice/a.b/blob/next/a.ipynb)",
    '"git+https://github.com/me/it#subdirectory=lib"': '"git+https://github.com/alice/a.b@next#subdirectory=lib"',
    "git+https://github.com/me/it.git#egg": "git+https://github.com/alice/a.b.git@next#egg",
    "git+https://github.com/me/it@v1#egg": "git+https://github.com/alice/a.b@v1#egg",
    "git clone https://github.com/me/it && cd it": "git clone https://github.com/alice/a.b && cd a.b",
    "git clone https://github.com/me/it.git\ncd it/lib": "git clone https://github.com/alice/a.b.git\ncd a.b/lib",
    "https://github.com/me/it/tree/main": "https://github.com/alice/a.b/tree/next",
    "https://github.com/me/it/blob/v1/main": "https://github.com/alice/a.b/blob/v1/main",
    "https://github.com/me/it/archive/refs/heads/main.zip": "https://github.com/alice/a.b/archive/refs/heads/next.zip",
    "https://raw.githubusercontent.com/me/it/main/x.png": "https://raw.githubusercontent.com/alice/a.b/next/x.png",
    "https://mybinder.org/v2/gh/me/it/main?x": "https://mybinder.org/v2/gh/alice/a.b/next?x",
    "https://cdn.jsdelivr.net/gh/me/it@main/x": "https://cdn.jsdelivr.net/gh/alice/a.b@next/x",
    "https://api.github.com/repos/me/it/issues": "https://api.github.com/repos/alice/a.b/issues",
    "https://me.github.io/it/lectures": "https://alice.github.io/a.b/lectures",
    f"branches: [{'main'}]": f"branches: [{'next'}]",
    **dict.fromkeys(("https://github.com/me/it-too", "https://github.com/me/it.js", "https://github.com/me/it_", "https://github.com/notme/it",
                     "https://github.com/you/me/it", "https://gitlab.com/me/it", "me/it", "lib/me/it", "https://github.com/Me/It",
                     "branches: [main, x]", "https://me.github.io/item", "https://notme.github.io/it", "git checkout main", "cd it"))}


@pytest.mark.parametrize("line", CASES)
def test_every_way_to_say_it_and_nothing_else(line):
    mine, fork = Repository("me", "it"), Repository("alice", "a.b", "next")
    expected = CASES[line] or line
    assert rewrite(f"x {line}\n", mine, fork) == (f"x {expected}\n", int(expected != line))
    assert rewrite(f"x {expected}\n", fork, mine)[0] == f"x {line}\n"


repositories = st.builds(Repository, st.sampled_from(["me", "a-b", "m_corp"]), st.sampled_from(["it", "me.github.io", "it.js", "it-2", "_"]),
                         st.sampled_from(["main", "it", "v1.0/x"]))


@settings(max_examples=100, deadline=None)
@given(repositories, repositories, st.data())
def test_there_and_back_is_nothing(old, new, data):
    """For addresses in any order with anything between them, as long as nothing named the other one before."""
    text = "".join(data.draw(st.lists(st.sampled_from([*forms(old), " ", "\n", "/x ", ". ", ".git ", "#a", "é", "\r\n"]), max_size=8)))
    if rewrite(text, new, Repository("un", "used", "never")) == (text, 0):
        assert rewrite(rewrite(text, old, new)[0], new, old)[0] == text


@needs_git
def test_only_what_git_keeps_and_only_text(tmp_path, monkeypatch, capsys, metrized):
    """Line ends, pictures, links and files of one's own stay; a file that was deleted is no mistake."""
    address = f"https://github.com/{OURS}"
    put(tmp_path, {"lib/pyproject.toml": (ROOT / "lib" / "pyproject.toml").read_bytes(), "solutions/x": b"", "homework/x": b"",
                   "gone": address.encode(), "windows": f"{address}\r\n\r{address}".encode(), "picture": b"\x89" + address.encode(),
                   "LICENSE": address.encode()})
    (tmp_path / "gone").unlink()
    (tmp_path / "own").write_text(address)
    if os.name != "nt":
        (tmp_path / "link").symlink_to("own")
        git(tmp_path, "add", "link")
    monkeypatch.chdir(tmp_path / "lib")
    before = files(tmp_path)
    assert metrized("retarget", "alice/course") == 0
    assert files(tmp_path) == {**before, "windows": b"https://github.com/alice/course\r\n\rhttps://github.com/alice/course",
                               "lib/pyproject.toml": files(tmp_path)["lib/pyproject.toml"]}
    assert capsys.readouterr().out.splitlines()[0] == "windows: 2 places", "pyproject comes last, or a run cut short could not be made again"


WRONG = ("alice", "alice/", "/course", "alice/a/b", "-alice/a", "alice-/a", "a--b/c", "al ice/a", "alice/a b", "alice/..", "alice/.", "alice/a.git",
         "alice/a.wiki", "élise/a", "a_b_c/d", "https://github.com/alice/a", f"{'a' * 40}/b", f"a/{'b' * 101}", "a/b\n")


@pytest.mark.parametrize("wrong", WRONG)
def test_what_github_would_not_take_is_refused(wrong, monkeypatch, capsys, metrized):
    monkeypatch.chdir(ROOT)
    assert metrized("retarget", "--dry-run", "--", wrong) == 1
    captured = capsys.readouterr()
    assert "is no repository on GitHub: write OWNER/REPO, such as alice/course." in captured.err and not captured.out


@pytest.mark.parametrize("right", ["a/b", "A-1-b/c", "octo_corp/.github", f"{'a' * 39}/{'b' * 100}", "a/-", "a/b.github.io"])
def test_what_github_takes_is_taken(right):
    assert str(Repository.of(right)) == right


@pytest.mark.parametrize("wrong", ["", "-x", "a b", "a..b", "a//b", "/a", "a/", "a.", "a/.b", "a.lock", "a#b", "a?b", "x.lock/b"])
def test_branches_that_no_link_can_hold_are_refused(wrong):
    with pytest.raises(ValueError, match="is no name of a branch that a link can hold"):
        Repository("alice", "course", wrong)


@needs_git
def test_a_checkout_that_names_nothing_or_is_none_is_told_so(tmp_path, monkeypatch, capsys, metrized):
    monkeypatch.chdir(put(tmp_path, {"lib/pyproject.toml": b"[project]\nname = 'x'\n", "solutions/x": b"", "homework/x": b""}))
    assert metrized("retarget", "alice/course") == 1
    assert "lib/pyproject.toml names no repository: write it there" in capsys.readouterr().err
    shutil.copy(ROOT / "lib" / "pyproject.toml", tmp_path / "lib")
    shutil.rmtree(tmp_path / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert metrized("retarget", "alice/course") == 1
    assert "only what it keeps is rewritten: clone your fork with git" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert metrized("retarget", "alice/course") == 1
    assert "git is not installed here" in capsys.readouterr().err


def test_addresses_of_a_repository():
    assert TERM.colab("lectures/x.ipynb") == f"https://colab.research.google.com/github/{TERM}/blob/fall/2026/lectures/x.ipynb"
    assert TERM.link("a") == f"{TERM.url}/blob/fall/2026/a" and TERM.pages == f"https://{TERM.name}"
    assert Repository("Alice", "Course").pages == "https://alice.github.io/Course"


def test_the_library_says_it_in_one_place():
    """The package takes the course's address from pyproject.toml, and never spells it."""
    for path in (ROOT / "lib" / "metrized").rglob("*.py"):
        assert rewrite(path.read_text(encoding="utf-8"), OURS, FORK)[1] == 0, path
