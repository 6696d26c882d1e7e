"""Who imports whom: folders only leftward, a core of few packages, and no torch where none is needed."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import liju

ROOT = Path(liju.__file__).parent
ORDER = [
    *("errors", "config", "ngram", "text", "vocab", "samples", "objective", "model", "hub", "plan", "train"),
    *("generate", "evaluate", "finetune", "prompt", "serve", "project", "cli"),
]
FOLDERS = [name for name in ORDER if (ROOT / name).is_dir()]
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
# What the core may import: the rest must work without it.
CORE = ["samples", "objective", "model", "train", "generate"]
PACKAGES = ["torch", "numpy", "safetensors", "tokenizers", "rich", "jaxtyping"]


def imports(path):
    """Folders of liju that a file imports anywhere, within functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"liju.{alias.name}" for alias in node.names] if node.module == "liju" else [node.module]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name and name.startswith("liju.")}
    return {name for name in found if (ROOT / name).is_dir() or (ROOT / f"{name}.py").exists()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_folders_import_only_leftward(path):
    own = path.relative_to(ROOT).parts[0]
    allowed = set(ORDER[: ORDER.index(own) + 1])
    assert imports(path) <= allowed


def test_every_folder_has_its_place():
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_public_name_is_there(folder):
    module = importlib.import_module(f"liju.{folder}")
    assert module.__all__ and len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        module.nothing_of_the_kind
    namespace = {}
    exec(f"from liju.{folder} import *", namespace)
    assert set(module.__all__) <= namespace.keys()


def test_the_front_door():
    assert liju.LijuError is importlib.import_module("liju.errors").LijuError
    assert callable(liju.run) and callable(liju.load)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        liju.lod


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_says_what_is_public(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert any(
        isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__" for node in tree.body
    )


BLOCK = """
import sys
from importlib.abc import MetaPathFinder
allowed = {allowed!r}
for name in allowed:  # what these need themselves is theirs
    __import__(name)
theirs = {{name.split(".")[0] for name in sys.modules}} | set(sys.stdlib_module_names) | {{"liju"}}
class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in theirs:
            raise ImportError(name + " is not to be imported here", name=name)
sys.meta_path.insert(0, Refuse())
"""


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_the_core_needs_few_packages():
    code = BLOCK.format(allowed=PACKAGES)
    code += "".join(f"import liju.{folder}\n" for folder in CORE)
    code += """
assert "pydantic" not in sys.modules and "cyclopts" not in sys.modules
try:
    import liju.config
except ImportError as error:
    print(error.name)  # the finder does refuse
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "pydantic"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["new", "{0}/new"],
        ["show", "text", "{0}"],
    ],
    ids=" ".join,
)
def test_what_needs_no_torch_does_not_load_it(tmp_path, words):
    words = [word.format(tmp_path) for word in words]
    code = f"import sys\nfrom liju.cli import main\nprint(main({words!r}))\nassert 'torch' not in sys.modules"
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ("2" if words[0] == "show" else "0")
