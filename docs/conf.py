"""How Sphinx builds the site. README.md has the command; `site/` holds the parts that are ours."""

import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent
sys.path[:0] = [str(REPO), str(HERE / "site")]

import softloc_jax  # noqa: E402

project = "softloc_jax"
copyright = "the authors of softloc_jax; Apache-2.0"
version = release = softloc_jax.__version__
html_title = f"softloc_jax {version}"

extensions = [
  "myst_nb",
  "sphinx.ext.autodoc",
  "sphinx.ext.autosummary",
  "sphinx.ext.napoleon",
  "docstrings",
  "mathml",
]
templates_path = ["site/templates"]
exclude_patterns = ["site"]

# Nothing is fetched when the site is built, nor when it is read, but the badge of notebooks.
html_theme = "furo"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False
html_math_renderer = "mathml"

# softloc_jax.torch is for those who have torch; its docstrings are for all.
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the benchmark writes sections as they are
nb_execution_mode = "off"  # tests/colabs_test.py runs them

autosummary_generate = True
autosummary_ignore_module_all = True
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88


def _copy_notebooks() -> None:
  """`colabs/` lies beside the site's sources: what is there becomes a page, what has gone goes."""
  folder = HERE / "notebooks"
  folder.mkdir(exist_ok=True)
  wanted = {path.name: path.read_text(encoding="utf-8") for path in (REPO / "colabs").glob("*.ipynb")}
  for old in folder.glob("*.ipynb"):
    if old.name not in wanted:
      old.unlink()
  for name, text in wanted.items():
    target = folder / name
    text = text.replace("](../docs/", "](../").replace("](../README.md", "](../index.md")
    if not target.exists() or target.read_text(encoding="utf-8") != text:  # else nothing is built again
      target.write_text(text, encoding="utf-8")


_copy_notebooks()
