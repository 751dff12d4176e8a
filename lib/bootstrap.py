"""One command from a bare clone to the open course (`python3 lib/bootstrap.py lab`) or to its tests (`... test`).

Whatever follows goes to JupyterLab or to pytest. The environment is `.venv` at the repository root; run again, the command completes what
is missing there and otherwise starts at once. Standard library only, in syntax that Python 3.6 can read, so that a Python too old for the
course says so in one sentence.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "lib"
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
HOLDS = {"lab": "JupyterLab, NumPy and what they need", "dev": "JupyterLab, PyTorch, the test tools and what they need"}

# pip writes INSTALLER when a package is complete, so a pip without one was cut off while it was being put there.
PROBE = f"""
import os, sys
from importlib.metadata import distribution
whole = os.path.samefile(sys.prefix, sys.argv[1]) and distribution("pip").read_text("INSTALLER")
sys.exit(sys.version_info < {OLDEST} or not whole)
"""


def call(command, **options):
    """Exit code of a program that runs at the repository root."""
    sys.stdout.flush()
    return subprocess.call([str(part) for part in command], cwd=str(ROOT), **options)


def usable():
    """Whether `.venv` holds a recent enough Python and a whole pip."""
    try:
        return call([PYTHON, "-I", "-c", PROBE, VENV], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def make_venv():
    """A usable `.venv`: the one that is there, else a new one in its place."""
    if usable():
        return
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            sys.exit(
                f"{sys.executable} cannot make a virtual environment, for its module {module} is missing: "
                "on Debian and Ubuntu `apt install python3-venv` brings it, then run the same command again."
            )
    if VENV.is_symlink():
        # Clearing would empty whatever folder it points to.
        VENV.unlink()
    if VENV.exists():
        print(".venv is half made, broken or too old: making it anew.")
    if call([sys.executable, "-m", "venv", "--clear", VENV]):
        sys.exit(f"Python could not make {VENV}: its own words are above; delete that folder, then run the same command again.")


def install(extra):
    """The course with one of its extras in `.venv`, at the pinned versions; nothing to do where the last install was of the same files."""
    stamp = VENV / f"metrized-{extra}"
    files = [LIB / "pyproject.toml", LIB / "constraints.txt"]
    # The path counts too: in a moved checkout the editable install still points to the old place.
    wanted = hashlib.sha256(b"\0".join([path.read_bytes() for path in files] + [os.fsencode(str(LIB))])).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    # An interrupted pip leaves a package that it would later take for installed: without its record pip installs it again.
    for pattern in ("lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info"):
        for record in VENV.glob(pattern):
            if not (record / "INSTALLER").exists():
                shutil.rmtree(str(record))
    print(f"Installing into .venv: {HOLDS[extra]} (the first time takes minutes).")
    # A distribution or a user may have made --user pip's default, which a virtual environment refuses.
    environment = dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    if call([PYTHON, "-m", "pip", "install", "-e", f"./lib[{extra}]", "-c", "lib/constraints.txt"], env=environment):
        sys.exit(
            f"pip could not install metrized[{extra}] ({HOLDS[extra]}): its own words are above; "
            "where the network failed, the same command run again resumes."
        )
    stamp.write_text(wanted)


def leave_interrupts_to_the_program():
    """Ctrl-C reaches JupyterLab or pytest, which answer it themselves, and this script waits for them."""
    signal.signal(signal.SIGINT, lambda *_: None)


def has_browser():
    """Whether a browser can show a window here."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        return bool(webbrowser.get())
    except webbrowser.Error:
        return False


def lab(arguments):
    """JupyterLab on the lectures, with homework and solutions one folder away."""
    install("lab")
    options = [f"--ServerApp.root_dir={ROOT}", "--LabApp.default_url=/lab/tree/lectures"]
    if not has_browser():
        print("No browser here: open one of the addresses that JupyterLab prints below.")
        options.append("--no-browser")
    if os.name == "posix" and os.geteuid() == 0:
        # JupyterLab refuses root, and in a container there is often nobody else.
        options.append("--allow-root")
    leave_interrupts_to_the_program()
    return call([PYTHON, "-m", "jupyterlab"] + options + arguments)


def test(arguments):
    """Ruff on the checkout, then pytest whatever ruff says; pytest's exit code, or ruff's where only ruff complains."""
    install("dev")
    folders = [name for name in ("lib", "lectures", "homework", "solutions") if (ROOT / name).is_dir()]
    lint = call([PYTHON, "-m", "ruff", "check", "--config", "lib/pyproject.toml"] + folders)
    arguments = arguments or ["-n", "2", "--dist", "loadfile"]
    if not any((ROOT / argument.split("::")[0]).exists() for argument in arguments):
        arguments = ["lib/tests"] + arguments
    leave_interrupts_to_the_program()
    # Test processes run side by side: threads of their own would only wait for each other.
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    failed = call([PYTHON, "-m", "pytest"] + arguments, env=environment)
    if lint:
        print("Ruff found faults: its report stands before pytest's.", file=sys.stderr)
    return failed or lint


def main(arguments):
    """Exit code of the command named by the first argument."""
    jobs = {"lab": lab, "test": test}
    if not arguments or arguments[0] not in jobs:
        sys.exit("Say what to do: `python3 lib/bootstrap.py lab` opens the course, `python3 lib/bootstrap.py test` tests it.")
    if sys.version_info < OLDEST:
        found, needed = (".".join(str(number) for number in version) for version in (sys.version_info[:3], OLDEST))
        sys.exit(
            f"Metrized needs Python {needed} or newer and this is {found} ({sys.executable}): "
            f"name another one, as in `make {arguments[0]} PYTHON=python3.12`."
        )
    try:
        make_venv()
        return jobs[arguments[0]](arguments[1:])
    except KeyboardInterrupt:
        print("\nStopped half-way: the same command goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
