"""Who may import whom, read from the source; and what `import softloc_jax` costs."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = REPO / "softloc_jax"

# Pure functions: arrays in, arrays out. Users take these into their own projects.
PURE = {
  *("events", "poisson_binomial", "contour", "smoothing", "losses"),
  *("noise", "decode", "thresholds", "matching", "hilbert"),
  *("label_model", "label_pairing", "label_timing", "calibration"),
}
# Imported inside the functions that use them, all over the package: they are slow to load, or optional.
LAZY = {
  "av",
  "click",
  "h5py",
  "jams",
  "jax2onnx",
  "jinja2",
  "librosa",
  "matplotlib",
  "mido",
  "mir_eval",
  "onnxruntime",
  "pandas",
  "pretty_midi",
  "sklearn",
  "soundfile",
  "soxr",
  "tensorboardX",
  "tensorflow_datasets",
  "torch",
  "wfdb",
}


def module_name(path: pathlib.Path) -> str:
  parts = path.relative_to(REPO).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, module: str, is_package: bool) -> tuple[set[str], set[str]]:
  """Modules that a source imports when it is loaded, and those that it imports within functions."""
  on_loading: set[str] = set()
  within_functions: set[str] = set()

  def visit(node: ast.AST, found: set[str]) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
      found = within_functions
    if isinstance(node, ast.Import):
      found.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ""
      if node.level:
        package = module.split(".") if is_package else module.split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *base.split(".")]).rstrip(".")
      for alias in node.names:  # `from package import module` is an import of that module
        inner = f"{base}.{alias.name}"
        found.add(inner if inner in FILES else base)
    for child in ast.iter_child_nodes(node):
      visit(child, found)

  visit(ast.parse(source), on_loading)
  return on_loading - {"__future__"}, within_functions


IMPORTS = {
  name: imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py")
  for name, path in FILES.items()
}
EVERY_IMPORT = {name: on_loading | within for name, (on_loading, within) in IMPORTS.items()}


def roots(modules) -> set[str]:
  return {module.split(".")[0] for module in modules}


def within(module: str, package: str) -> bool:
  return module == package or module.startswith(package + ".")


def test_the_reader_of_imports():
  source = """
import os.path, numpy as np
from softloc_jax import events, __version__
if True:
  from . import folder
from ..losses import focal
class A:
  import heapq
  def method(self):
    import librosa
    from .recording import Recording
"""
  found = imports(source, "softloc_jax.data.mitdb", is_package=False)
  loading = {
    "os.path",
    "numpy",
    "softloc_jax.events",
    "softloc_jax",
    "softloc_jax.data.folder",
    "softloc_jax.losses",
  }
  assert found == (loading | {"heapq"}, {"librosa", "softloc_jax.data.recording"})
  assert imports("from . import folder", "softloc_jax.data", is_package=True)[0] == {
    "softloc_jax.data.folder"
  }
  assert {"softloc_jax.losses", "softloc_jax.data.recording"} <= set(FILES)


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_only_numbers(name):
  on_loading, within_functions = IMPORTS[f"softloc_jax.{name}"]
  own = {f"softloc_jax.{other}" for other in PURE} | {"softloc_jax.data.recording"}
  libraries = {"numpy", "jax"} | ({"optax"} if name == "losses" else set()) | sys.stdlib_module_names
  for found, allowed in ((on_loading, libraries), (within_functions, libraries | {"scipy"})):
    assert {module for module in found if within(module, "softloc_jax")} <= own
    assert roots(found) - {"softloc_jax"} <= allowed


def test_a_recording_is_plain_data():
  # Pure modules may know what a recording is: it must not bring the loaders with it.
  assert roots(IMPORTS["softloc_jax.data.recording"][0]) <= {"numpy"} | sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(FILES))
def test_slow_and_optional_libraries_are_imported_where_they_are_used(name):
  on_loading, _ = IMPORTS[name]
  if name == "softloc_jax.cli":
    on_loading = on_loading - {"click"}  # loaded by the command only
  if name == "softloc_jax.torch":
    on_loading = on_loading - {"torch"}  # what it is for; loaded by those who ask for it
  else:
    assert "softloc_jax.torch" not in EVERY_IMPORT[name]
  if within(name, "softloc_jax.data.builders"):
    on_loading = on_loading - {"tensorflow_datasets"}  # its base classes; loaded by those who ask for it
  else:
    assert not any(within(module, "softloc_jax.data.builders") for module in on_loading)
  assert not roots(on_loading) & LAZY


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_one_way(name):
  found = EVERY_IMPORT[name]
  assert not roots(found) & {"configs", "experiments", "tests"}
  if within(name, "softloc_jax.models"):
    assert not any(within(module, "softloc_jax.data") for module in found)
  if within(name, "softloc_jax.data"):
    above = {module for module in found if within(module, "softloc_jax")}
    numbers = ("softloc_jax.events", "softloc_jax.hilbert")
    assert all(within(module, "softloc_jax.data") or module in numbers for module in above)
  if name != "softloc_jax.checkpoints":
    assert "orbax" not in roots(found)


def test_no_import_cycles():
  waiting = {
    name: {other for other in on_loading if other in FILES and other not in ("softloc_jax", name)}
    for name, (on_loading, _) in IMPORTS.items()
  }
  while free := [name for name, others in waiting.items() if not others]:
    for name in free:
      del waiting[name]
    for others in waiting.values():
      others.difference_update(free)
  assert not waiting


def test_importing_the_package_is_light():
  script = """
import json, sys, time
import jax, jax.numpy
before, started = set(sys.modules), time.process_time()
import softloc_jax
seconds = time.process_time() - started
print(json.dumps([seconds, sorted({name.split(".")[0] for name in set(sys.modules) - before})]))
"""
  environment = {**os.environ, "PYTHONPATH": str(REPO), "JAX_PLATFORMS": "cpu"}
  output = subprocess.run(
    [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
  )
  seconds, loaded = json.loads(output.stdout)
  assert not set(loaded) & (LAZY | {"grain", "orbax", "tensorflow", "flax", "scipy", "ml_collections"})
  assert seconds < 1  # of processor time, on top of jax; about 0.2, for optax
