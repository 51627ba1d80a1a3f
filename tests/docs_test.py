"""The site builds without a warning, its links lead somewhere, and no public module is missing from it."""

from html.parser import HTMLParser
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote, urlsplit

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = REPO / "softloc_jax"
COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"

PUBLIC = {
  ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
  for path in PACKAGE.rglob("*.py")
  if not any(part.startswith("_") for part in path.relative_to(REPO).with_suffix("").parts[:-1])
  and (path.stem == "__init__" or not path.stem.startswith("_"))
}


@pytest.fixture(scope="module")
def docstrings():
  """The module that turns docstrings into what Sphinx reads."""
  spec = importlib.util.spec_from_file_location("docstrings", REPO / "docs/site/docstrings.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize(
  ("lines", "expected"),
  [
    (["Takes `x_t`s, `a", "b` and ``c``."], ["Takes ``x_t``s, ``a b`` and ``c``."]),
    (
      ["For all:", "", "    a = b", "", "and"],
      ["For all:", "", ".. code-block:: text", "", "    a = b", "", "and"],
    ),
    (["Args:", "  x: one.", "", "Raises:", "  A: b."], ["Args:", "  x: one.", "", "Raises:", "  A: b."]),
    (["Returns:", "  Found: two.", "  More: no."], ["Returns:", "  : Found: two.", "  More: no."]),
    (
      ["|a|b|", "|---|---|", "|1|`2`|", ""],
      [".. list-table::", "  :header-rows: 1", "", "  * - a", "    - b", "  * - 1", "    - ``2``", ""],
    ),
  ],
)
def test_docstrings_become_restructuredtext(docstrings, lines, expected):
  assert docstrings.to_rst(lines) == expected


def test_every_public_module_is_listed_in_the_api():
  pages = "\n".join(path.read_text(encoding="utf-8") for path in (REPO / "docs" / "api").glob("*.md"))
  listed = [line.strip() for line in pages.splitlines() if line.startswith("   softloc_jax.")]
  assert len(listed) == len(set(listed))
  missing, gone = PUBLIC - {"softloc_jax"} - set(listed), set(listed) - PUBLIC
  assert not missing, f"list in a page of docs/api: {', '.join(sorted(missing))}"
  assert not gone, f"no such module any more, in docs/api: {', '.join(sorted(gone))}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  for library in ("furo", "myst_nb", "sphinx"):
    if importlib.util.find_spec(library) is None:
      pytest.skip(f"{library} is not installed: pip install -e '.[docs]'")
  # A copy, so that a build of one's own is neither used nor disturbed.
  root = tmp_path_factory.mktemp("site")
  unbuilt = shutil.ignore_patterns("generated", "notebooks")
  shutil.copytree(REPO / "docs", root / "docs", ignore=unbuilt)
  for name in ("colabs", "softloc_jax"):
    (root / name).symlink_to(REPO / name)
  done = subprocess.run(
    [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", "html"],
    cwd=root,
    env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return root / "html"


class _Page(HTMLParser):
  """What a page refers to, and what can be referred to in it."""

  def __init__(self, path: pathlib.Path):
    super().__init__()
    self.links: set[str] = set()
    self.anchors: set[str] = set()
    self.num_formulas = 0
    self.feed(path.read_text(encoding="utf-8"))

  def handle_starttag(self, tag, attributes):
    values = dict(attributes)
    self.anchors.update(values[key] for key in ("id", "name") if values.get(key))
    self.links.update(values[key] for key in ("href", "src") if values.get(key))
    self.num_formulas += tag == "math"


@pytest.fixture(scope="module")
def pages(site):
  return {path: _Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


@pytest.mark.slow
def test_every_link_and_image_is_there(site, pages):
  broken = []
  for path, page in pages.items():
    for link in page.links:
      parts = urlsplit(link)
      if parts.scheme or parts.netloc:
        continue
      target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
      leads_into_a_page = parts.fragment and target in pages
      if not target.exists() or (leads_into_a_page and unquote(parts.fragment) not in pages[target].anchors):
        broken.append(f"{path.relative_to(site)}: {link}")
  assert not broken, "\n".join(broken)


@pytest.mark.slow
def test_nothing_is_fetched_to_show_a_page(site, pages):
  for path in pages:
    for tag in re.findall(r"<(?:script|link|img)\b[^>]*>", path.read_text(encoding="utf-8")):
      # Notebooks have a badge for those who read them elsewhere.
      assert "://" not in tag.replace(COLAB_BADGE, ""), f"{path.relative_to(site)}: {tag}"
  assert all("@import" not in path.read_text(encoding="utf-8") for path in site.glob("_static/**/*.css"))


@pytest.mark.slow
def test_what_the_site_holds(site, pages):
  assert pages[site / "mathematics" / "counts.html"].num_formulas > 20
  for name in PUBLIC - {"softloc_jax"}:
    assert f"module-{name}" in pages[site / "api" / "generated" / f"{name}.html"].anchors
  losses = pages[site / "api" / "generated" / "softloc_jax.losses.html"].anchors
  assert "softloc_jax.losses.count_nll" in losses and not any("._" in anchor for anchor in losses)
  for notebook in (REPO / "colabs").glob("*.ipynb"):
    assert site / "notebooks" / f"{notebook.stem}.html" in pages
