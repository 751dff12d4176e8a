"""The way in: from a bare clone, with pip or with conda, everybody gets the same versions or one sentence that says what to do."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib"
PROJECT = tomllib.loads((LIB / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Other people's repositories that the course cites; any other address must be the course's own.
CITED = frozenset()


def requirements(texts):
    """{name: Requirement} without the course itself, which names itself in its extras."""
    parsed = {canonicalize_name(r.name): r for r in map(Requirement, texts)}
    parsed.pop("metrized", None)
    return parsed


@pytest.fixture
def bootstrap():
    """A copy of lib/bootstrap.py that a test may bend."""
    spec = importlib.util.spec_from_file_location("bootstrap", LIB / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def conda():
    """environment.yml: its conda specs by name, and the list of its pip lines."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    specs = [rattler.MatchSpec(entry) for entry in entries if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return {spec.name.normalized: spec for spec in specs}, pip


# Versions


def test_conda_and_pip_have_the_same_bounds(conda):
    specs, _ = conda
    assert "pip" in specs
    bounds = {name: SpecifierSet(spec.version) for name, spec in specs.items() if name != "pip"}
    wanted = {name: r.specifier for name, r in requirements(PROJECT["dependencies"] + EXTRAS["lab"]).items()}
    assert bounds == {"python": SpecifierSet(PROJECT["requires-python"]), **wanted}


def test_conda_leaves_to_pip_the_course_and_a_gpu_where_there_can_be_one(conda):
    _, pip = conda
    course, cupy = pip
    assert course == "-e ./lib" and (ROOT / course.split()[1] / "pyproject.toml").exists()
    cupy = Requirement(cupy)
    assert cupy == Requirement(*EXTRAS["gpu"])
    assert cupy.marker.evaluate({"sys_platform": "linux"}) and not cupy.marker.evaluate({"sys_platform": "darwin"})


def test_every_requirement_has_a_pin_that_satisfies_it():
    pins = requirements(line for line in (LIB / "constraints.txt").read_text().splitlines() if line and not line.startswith("#"))
    for name, pin in pins.items():
        (exact,) = pin.specifier
        assert exact.operator == "==" and "+" not in exact.version, f"{name} is not pinned to one public version"
    wanted = [text for texts in (PROJECT["dependencies"], *EXTRAS.values()) for text in texts]
    for text in wanted:
        if (requirement := Requirement(text)).name == "metrized":
            continue
        (exact,) = pins[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(exact.version), f"{text} is not satisfied by {exact.version}"


def test_one_repository_address():
    ours = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    address = re.compile(r"(?:github\.com[/:]|colab\.research\.google\.com/github/|raw\.githubusercontent\.com/)([\w.-]+/[\w.-]+)")
    notebooks = [path for folder in ("lectures", "homework", "solutions") for path in (ROOT / folder).glob("*.ipynb")]
    for path in (ROOT / "README.md", *notebooks):
        named = {name.rstrip(".").removesuffix(".git") for name in address.findall(path.read_text(encoding="utf-8"))}
        assert named - CITED <= {ours}, f"{path.name} names another repository"
        assert named - CITED or path in notebooks, "README.md does not name the repository"


# Commands


def test_make_holds_no_logic():
    rules = re.findall(r"^(\w+):(.*)\n((?:\t.*\n?)*)", (ROOT / "Makefile").read_text(), flags=re.M)
    assert {"lab", "test", "quick", "homework"} <= {target for target, _, _ in rules}
    for target, needs, recipe in rules:
        assert not needs.strip() and len(recipe.splitlines()) == 1, f"{target} is more than one line"
        assert re.fullmatch(r'\t@(\$\(PYTHON\) lib/bootstrap\.py|\.venv/bin/python -m) [\w. "-]+\n', recipe), f"{target} is more than one call"


def test_an_old_python_can_read_the_bootstrap_and_is_turned_away(bootstrap, monkeypatch):
    ast.parse((LIB / "bootstrap.py").read_text(), feature_version=(3, 6))
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(">=" + ".".join(map(str, bootstrap.OLDEST)))
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer and this is 3\.10\.13 .* `make lab PYTHON=python3\.12`\.$"):
        bootstrap.main(["lab"])


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_names_the_package_that_brings_it(module, bootstrap, monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "none")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit, match=rf"its module {module} is missing: .* `apt install python3-venv` .* run the same command again\.$"):
        bootstrap.main(["lab"])


def test_pip_runs_once_until_the_requirements_change(bootstrap, monkeypatch, tmp_path):
    calls, codes = [], [1, 0, 0]
    monkeypatch.setattr(bootstrap, "call", lambda command, **_: calls.append(command) or codes.pop(0))
    for name in ("LIB", "VENV"):
        monkeypatch.setattr(bootstrap, name, tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(LIB / name, tmp_path)
    with pytest.raises(SystemExit, match=r"could not install metrized\[lab\] \(JupyterLab.* network failed, the same command run again resumes\.$"):
        bootstrap.install("lab")
    for pips in (2, 2):
        bootstrap.install("lab")
        assert len(calls) == pips
    (tmp_path / "constraints.txt").write_text("numpy==2.0.0\n")
    bootstrap.install("lab")
    assert len(calls) == 3


def test_what_an_interrupted_pip_left_is_installed_again(bootstrap, monkeypatch, tmp_path):
    site = tmp_path / "lib/python3.11/site-packages"
    for name in ("whole", "torn"):
        (site / f"{name}-1.dist-info").mkdir(parents=True)
    (site / "whole-1.dist-info/INSTALLER").write_text("pip")
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "call", lambda *_, **__: 0)
    bootstrap.install("lab")
    assert [path.name for path in site.iterdir()] == ["whole-1.dist-info"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="breaks the environment the way it breaks on Linux and the Mac")
@pytest.mark.parametrize("half", ["no pip", "no Python"])
def test_a_half_made_venv_is_made_anew_and_a_dead_network_gets_one_sentence(half, tmp_path):
    (tmp_path / "lib").mkdir()
    for name in ("bootstrap.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(LIB / name, tmp_path / "lib")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    python = tmp_path / ".venv/bin/python"
    if half == "no Python":
        python.unlink()
        python.symlink_to(tmp_path / "a Python that was uninstalled")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    # Port 9 discards: nothing answers there, at once.
    environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    run = subprocess.run([sys.executable, tmp_path / "lib/bootstrap.py", "lab"], env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert ".venv is half made, broken or too old: making it anew." in run.stdout
    assert subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith("pip could not install metrized[lab]")
