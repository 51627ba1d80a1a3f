"""Mathematics as MathML, which browsers draw by themselves: no script, nothing to fetch."""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError


def _convert(node: nodes.Node, *, as_block: bool) -> str:
  try:
    return tex2mathml(node.astext(), as_block=as_block)
  except (MathError, SyntaxError) as error:
    raise ExtensionError(f"{node.source}:{node.line}: {node.astext()!r}: {error}") from error


def _inline(translator, node) -> None:
  translator.body.append(_convert(node, as_block=False))
  raise nodes.SkipNode


def _block(translator, node) -> None:
  translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
  if node.get("ids"):
    translator.body.append(f'<span id="{node["ids"][0]}"></span>')
  translator.body.append(_convert(node, as_block=True))
  if node.get("number"):
    translator.body.append(f'<span class="eqno">({node["number"]})</span>')
  translator.body.append("</div>\n")
  raise nodes.SkipNode


def setup(app):
  """Registers the renderer that `html_math_renderer = "mathml"` names."""
  app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
  return {"parallel_read_safe": True, "parallel_write_safe": True}
