"""What people expect of a repository: workflows that run what there is, a citation, a changelog, and a page for contributors that tells the truth."""
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from typer.main import get_command

from metrized.teach.command import app
from metrized.teach.retarget import present

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "lib" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
JOBS = {(workflow, job): content for workflow in WORKFLOWS for job, content in WORKFLOWS[workflow]["jobs"].items()}
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", ".github/PULL_REQUEST_TEMPLATE.md")
TARGETS = dict(re.findall(r"^(\w+):\n\t@(.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
"""What `make NAME` runs."""
ON = True
"""YAML 1.1 takes the key `on` for this."""


def runs(job: dict) -> list[str]:
    """The command lines of a job."""
    return [line.strip() for step in job["steps"] for line in step.get("run", "").splitlines()]


# GitHub


@pytest.mark.parametrize("schema, files", [
    ("github-workflows", ".github/workflows/*.yml"), ("github-issue-forms", ".github/ISSUE_TEMPLATE/*"), ("citation-file-format", "CITATION.cff")])
def test_files_that_github_reads_are_valid(schema, files):
    paths = [str(path) for path in ROOT.glob(files)]
    run = subprocess.run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *paths], capture_output=True, text=True)
    assert paths and run.returncode == 0, run.stdout + run.stderr


def test_actions_are_githubs_own_and_pinned():
    """To a commit, with its version beside it: a tag can be moved. One version of each."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    pins = re.findall(r"uses: (\S+)(.*)", text)
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", used) and re.fullmatch(r" # v\d+\.\d+\.\d+", version) for used, version in pins)
    assert len({used.partition("@")[0] for used, _ in pins}) == len({*pins}) >= 4


def test_a_fork_needs_no_secrets_and_a_stranger_gets_no_rights():
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {"contents": "read"} and "pull_request_target" not in workflow[ON]
        assert "secrets" not in str(workflow)
    rights = {job: content["permissions"] for job, content in JOBS.items() if "permissions" in content}
    assert rights == {("site", "deploy"): {"pages": "write", "id-token": "write"}}
    for job in JOBS.values():
        assert job["timeout-minutes"] <= 90 and not any("${{" in line for line in runs(job)), "no text of a stranger becomes a command"
        assert all(step["with"]["persist-credentials"] is False for step in job["steps"] if "checkout" in step.get("uses", ""))


def test_everything_is_tested_on_linux_and_the_quick_tests_everywhere():
    assert {*WORKFLOWS["test"][ON]} == {"push", "pull_request"}
    everything, quick = JOBS["test", "all"], JOBS["test", "quick"]
    assert runs(everything)[-1] == ".ci/run" and everything["runs-on"].startswith("ubuntu")
    assert runs(quick) == [TARGETS["quick"].replace("$(PYTHON)", "python")], "make quick says the same"
    matrix = quick["strategy"]["matrix"]["include"]
    oldest, newest = re.search(r"from (3\.\d+)\.0 to (3\.\d+)", (ROOT / "lib" / "constraints.txt").read_text(encoding="utf-8")).groups()
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={oldest}")
    assert {oldest, newest} <= {row["python"] for row in matrix} and min(Version(row["python"]) for row in matrix) == Version(oldest)
    assert {row["os"].partition("-")[0] for row in matrix} == {"ubuntu", "windows", "macos"}


def test_the_site_is_published_from_one_branch_once_at_a_time():
    site = WORKFLOWS["site"]
    assert site[ON] == {"push": {"branches": [present(ROOT).branch]}} and site["concurrency"] == {"group": "pages", "cancel-in-progress": False}
    made = next(shlex.split(line) for line in runs(JOBS["site", "build"]) if line.startswith("metrized site"))
    upload = next(step for step in JOBS["site", "build"]["steps"] if "upload-pages-artifact" in step.get("uses", ""))
    assert upload["with"]["path"] == made[made.index("--out") + 1] + "/html" and JOBS["site", "deploy"]["needs"] == "build"


@pytest.mark.parametrize("job", JOBS, ids="-".join)
def test_a_workflow_names_what_there_is(job):
    for step in JOBS[job].get("steps", []):
        assert (ROOT / step.get("with", {}).get("cache-dependency-path", "lib")).exists()
    for line in runs(JOBS[job]):
        for path in re.findall(r"(?:\./)?(?:lib|\.ci)(?:/[\w.-]+)*", line):
            assert (ROOT / path).exists(), line
        for extra in re.findall(r"\./lib\[(\w+)\]", line):
            assert extra in PROJECT["optional-dependencies"], line
        for name in re.findall(r"^metrized (\w+)", line):
            assert name in commands(), line
            assert {word for word in line.split() if word.startswith("--")} <= commands()[name], line


@cache
def commands() -> dict[str, set[str]]:
    """The subcommands of `metrized`, each with its options."""
    return {name: {option for parameter in command.params for option in parameter.opts} for name, command in get_command(app).commands.items()}


# Pages for people


def spans(page: str) -> list[str]:
    """What a page sets as code: spans, and the lines of blocks without their comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```\n(.*?)^ *```", text, re.M | re.S)
    lines = [re.sub(r"\s+# .*", "", line.strip()) for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


@cache
def words() -> set[str]:
    """Every word of the library, its tests and the homeworks."""
    files = [*(ROOT / "lib" / "metrized").rglob("*.py"), *(ROOT / "lib" / "tests").rglob("*.py"), *(ROOT / "solutions").glob("*.ipynb")]
    return {word for path in files if path != Path(__file__) for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_what_there_is(page):
    """Files, make's targets, subcommands of metrized, tests, and names of the library."""
    assert spans(page)
    for span in spans(page):
        for path in re.findall(r"(?:lib|lectures|homework|solutions|\.ci)[/\\][\w/\\.-]*", span):
            assert (ROOT / path.replace("\\", "/")).exists() or "14-name" in path, span
        if made := re.match(r"make (\w+)", span):
            assert made[1] in TARGETS, span
        elif called := re.match(r"metrized (\w+)", span):
            assert called[1] in commands(), span
        elif not re.match(r"py |git |source |\.venv|metrized --help|[\w.]+/", span):
            assert {*re.findall(r"[A-Za-z_]\w*", span)} <= words() | {"metrized"}, span


def test_the_citation_is_of_this_version_and_place():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"] and citation["repository-code"] == present(ROOT).url


def test_the_changelog_keeps_its_form():
    """Versions from the newest to the oldest, each with its day; what is not out yet stands above them. Keep a Changelog 1.1.0."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog\n")
    heads = re.findall(r"^## (.*)", text, re.M)
    out = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", head) for head in heads if head != "[Unreleased]"]
    assert heads.count("[Unreleased]") == (heads[0] == "[Unreleased]") and all(out)
    versions = [Version(version[1]) for version in out]
    assert versions == sorted({*versions}, reverse=True) and [version[2] for version in out] == sorted((v[2] for v in out), reverse=True)
    assert heads[0] == "[Unreleased]" or str(versions[0]) == PROJECT["version"]
    assert {*re.findall(r"^### (.*)", text, re.M)} <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
