"""What is shipped: the wheel holds every file of the package and nothing else; versions and pins agree."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import autapse

pytest.importorskip("setuptools", reason="the wheel is built with setuptools; `pip install autapse[test]` brings it")
pytest.importorskip("packaging", reason="requirements are read with packaging, which pytest brings")

ROOT = Path(__file__).parents[1]
# Folder in the tree: folder in the wheel.
FOLDERS = {
    "autapse": "autapse", "hw": "autapse/hw", "gateware": "autapse/gateware", "boards": "autapse/boards",
    "sw_driver": "autapse/sw_driver", "verification": "autapse/verification",
}
SHIPPED = {".py", ".cpp", ".h", ".json", ".typed"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def files_of_tree() -> set[str]:
    return {
        f"{inside}/{file.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in FOLDERS.items()
        for file in (ROOT / folder).rglob("*")
        if file.suffix in SHIPPED
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy, for setuptools would also pack what an earlier build left in the tree."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_wheel_holds_the_tree_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert set(names) == files_of_tree()
    assert len(names) == len(set(names))


def test_wheel_holds_what_is_easily_lost(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    information = f"autapse-{PROJECT['version']}.dist-info"
    assert {
        "autapse/__init__.py", "autapse/py.typed", "autapse/cli/__init__.py", "autapse/boards/__init__.py",
        "autapse/gateware/simulator/harness.cpp", "autapse/verification/exhaustive/harness.cpp",
        f"{information}/licenses/LICENSE", f"{information}/entry_points.txt",
    } <= names


def test_wheel_imports_without_pytorch_and_amaranth(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import autapse; print(autapse.__file__); "
               "print(*sorted({'torch', 'amaranth'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "autapse" / "__init__.py"), ""]


def test_every_folder_with_python_is_a_package():
    # find_packages stops at a folder without __init__.py; an editable install would import it all the same.
    lacking = {
        str(file.parent.relative_to(ROOT))
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        if not (file.parent / "__init__.py").exists()
    }
    assert lacking == set()


def test_version_is_stated_alike():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert autapse.__version__ == PROJECT["version"]
    assert PROJECT["version"] in versions


def pins() -> dict[str, str]:
    from packaging.utils import canonicalize_name

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    wrong = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert wrong == [], "each line must be name==version, without a local tag such as +cpu"
    found = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    assert len(found) == len(lines)
    return found


def test_constraints_pin_all_that_is_asked_for():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    known = pins()
    asked = [Requirement(text) for text in PROJECT["dependencies"]]
    asked += [Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra]
    seen: dict[str, set[str]] = {}  # by name, the extras of it that are wanted
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        assert name in known, f"constraints.txt lacks {name}"
        assert requirement.specifier.contains(known[name], prereleases=True), f"{requirement} against {known[name]}"
        extras = {"", *requirement.extras}
        if extras <= seen.get(name, set()):
            continue
        seen[name] = seen.get(name, set()) | extras
        try:
            brought = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # not installed here; its own needs are checked where it is
        for text in brought:
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                asked.append(further)
    # What `make setup` installs without what it asks for itself.
    alone = re.findall(r"--no-deps (\S+)", (ROOT / "Makefile").read_text())
    assert set(known) == {*seen, *alone}, "constraints.txt pins what nothing asks for"
