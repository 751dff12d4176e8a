"""Where the course lives on GitHub: what its files say about that, and how a fork makes them say something else."""
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from .release import root

PYPROJECT = Path("lib/pyproject.toml")
HISTORY = {"LICENSE", "CHANGELOG.md"}
"""What a fork leaves as it is: who wrote the course, and where and when it was released."""
HOSTS = ("github.com/", "github.com:", "githubusercontent.com/", "/github/", "/gh/", "/repos/")
"""What stands before OWNER/REPO: GitHub by https and by ssh, raw files, Colab and nbviewer, Binder and jsDelivr, GitHub's API."""
WAYS = ("/blob/", "/tree/", "/raw/", "/edit/", "/refs/heads/")
"""What stands between OWNER/REPO and a branch."""
END = r"(?![\w-]|\.(?!git(?![\w.-]))[\w-])"
"""Not in the middle of another, longer name; the full stop after a sentence is none."""
OWNER = r"(?=.{1,39}$)[A-Za-z0-9]+(-[A-Za-z0-9]+)*(_[A-Za-z0-9]+)?"
NAME = r"(?!\.{1,2}$)(?!.*\.(git|wiki)$)[A-Za-z0-9._-]{1,100}"
BRANCH = r"(?!.*(\.\.|//|/[.-]|\.lock(/|$)))[A-Za-z0-9_][A-Za-z0-9_./-]*(?<![./])"


@dataclass(frozen=True)
class Repository:
    """OWNER/REPO on GitHub, and the branch that its links show. Raises ValueError for what GitHub would not take."""

    owner: str
    name: str
    branch: str = "main"

    def __post_init__(self):
        if not (re.fullmatch(OWNER, self.owner) and re.fullmatch(NAME, self.name)):
            raise ValueError(f"{self} is no repository on GitHub: write OWNER/REPO, such as alice/course. OWNER has up to 39 letters, digits and "
                             "single hyphens between them; REPO has up to 100 letters, digits, hyphens, dots and underscores, without .git")
        if not re.fullmatch(BRANCH, self.branch):
            raise ValueError(f"{self.branch!r} is no name of a branch that a link can hold: use letters, digits, and - _ . / between them")

    @classmethod
    def of(cls, text: str, branch: str = "main") -> "Repository":
        """From OWNER/REPO."""
        owner, _, name = text.partition("/")
        return cls(owner, name, branch)

    def __str__(self):
        return f"{self.owner}/{self.name}"

    @property
    def url(self) -> str:
        return f"https://github.com/{self}"

    def link(self, file: str) -> str:
        """The page of a file."""
        return f"{self.url}/blob/{self.branch}/{file}"

    def colab(self, notebook: str) -> str:
        """Where a notebook opens in Colab."""
        return self.link(notebook).replace("github.com", "colab.research.google.com/github")

    @property
    def pages(self) -> str:
        """The address of its website."""
        host = f"{self.owner.lower()}.github.io"
        return f"https://{host}" if self.name.lower() == host else f"https://{host}/{self.name}"


def present(folder: Path) -> Repository:
    """What a checkout's lib/pyproject.toml names. Raises ValueError where it names no repository on GitHub."""
    urls = tomllib.loads((folder / PYPROJECT).read_text(encoding="utf-8"))["project"].get("urls", {})
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", urls.get("Repository", ""))
    if not found:
        raise ValueError(f"{PYPROJECT} names no repository: write it there, under [project.urls], as Repository = \"https://github.com/OWNER/REPO\"")
    branch = re.search(r"/blob/(.+)/CHANGELOG\.md$", urls.get("Changelog", ""))
    return Repository.of(found[1], branch[1] if branch else "main")


def forms(repository: Repository) -> list[str]:
    """All the ways in which a file can say where the course lives, in an order that does not depend on where."""
    r, branch = repository, repository.branch
    at = "" if branch == "main" else f"@{branch}"  # pip takes a fork's own main branch without being told
    clones = [f"git clone {r.url}{git}{then}cd {r.name}" for git, then in product(("", ".git"), (" && ", "\n"))]
    links = [f"{host}{r}{way}{branch}" for host, way in product(HOSTS, WAYS)]
    archives = [f"{r.url}/archive/refs/heads/{branch}.{kind}" for kind in ("zip", "tar.gz")]
    return [*clones, f"git+{r.url}{at}#", f"git+{r.url}.git{at}#", *links, *archives, f"githubusercontent.com/{r}/{branch}", f"/gh/{r}/{branch}",
            f"/gh/{r}@{branch}", *(f"{host}{r}" for host in HOSTS), r.pages.removeprefix("https:"), f"branches: [{branch}]"]


def rewrite(text: str, old: Repository, new: Repository) -> tuple[str, int]:
    """The text with `new` wherever it named `old`, and in how many places. Nothing else changes, other repositories least of all."""
    table = {before: after for before, after in zip(forms(old), forms(new), strict=True) if before != after}
    pattern = "|".join(re.escape(form) + ("" if form[-1] in "#]" else END) for form in sorted(table, key=len, reverse=True))
    return re.subn(pattern, lambda match: table[match[0]], text) if table else (text, 0)


def tracked(folder: Path) -> list[Path]:
    """The files that git keeps in a checkout, relative to it. Raises OSError where there is no git, or no checkout of it."""
    if not shutil.which("git"):
        raise OSError("git is not installed here, and only the files that it keeps are rewritten: install it from https://git-scm.com")
    run = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True)
    if run.returncode:
        raise OSError(f"git knows no files in {folder}, and only what it keeps is rewritten: clone your fork with git, and run this there "
                      f"({run.stderr.decode(errors='replace').strip()})")
    return [Path(name) for name in run.stdout.decode().split("\0") if name]


def changes(folder: Path, new: Repository) -> dict[Path, tuple[str, int]]:
    """{file: (its new text, places)} for each file of a checkout that names another repository than `new` as the course's own."""
    old, found = present(folder), {}
    for file in tracked(folder):
        path = folder / file
        if file.as_posix() in HISTORY or path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        after, places = rewrite(text, old, new)
        if places:
            found[file] = after, places
    return found


def command(repository: Annotated[str, typer.Argument(metavar="OWNER/REPO", help="your fork on GitHub, such as alice/course")],
            branch: Annotated[str, typer.Option(help="the branch that links and installations lead to")] = "main",
            dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False) -> None:
    """Make a fork of the course name itself: Colab badges, setup cells, the README, the citation, every address.

    What the course says now is taken from `lib/pyproject.toml`, so a fork of a fork can do this too. Run it again and nothing changes; name the
    former repository and all is as it was. Files that git does not keep stay as they are, and so do links to other people's repositories, LICENSE,
    and CHANGELOG.md, which tells where each version came from.
    """
    folder, new = root(Path.cwd()), Repository.of(repository, branch)
    old, found = present(folder), changes(folder, new)
    for file in sorted(found, key=lambda file: file == PYPROJECT):  # last, so that a run that was cut short can be made again
        after, places = found[file]
        if not dry_run:
            (folder / file).write_bytes(after.encode())
        print(f"{file.as_posix()}: {places} place{'s' * (places > 1)}")
    if found:
        print(f"{len(found)} files {'would name' if dry_run else 'name'} {new}, branch {new.branch}, in place of {old}, branch {old.branch}.")
    else:
        print(f"All files name {new}, branch {new.branch}, already.")
