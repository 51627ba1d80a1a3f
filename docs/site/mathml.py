"""Mathematics as MathML, which browsers draw by themselves: no script, nothing to fetch."""

from __future__ import annotations

import html
import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

# amsmath's names that the converter lacks.
_SAME_AS = {r"\dots": r"\ldots", r"\dotsc": r"\ldots", r"\dotsb": r"\cdots"}

_log = logging.getLogger(__name__)


def _convert(node: nodes.Node, *, as_block: bool) -> str:
  tex = re.sub(r"\\dots[bc]?(?![a-zA-Z])", lambda match: _SAME_AS[match[0]], node.astext())
  try:
    return tex2mathml(tex, as_block=as_block)
  except (MathError, SyntaxError) as error:
    _log.warning("%s: %s", tex, error, location=node)
    return f"<code>{html.escape(tex)}</code>"


def _inline(translator, node) -> None:
  translator.body.append(_convert(node, as_block=False))
  raise nodes.SkipNode


def _block(translator, node) -> None:
  anchor = f' id="{node["ids"][0]}"' if node.get("ids") else ""
  number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
  translator.body.append(f'<div class="math-block"{anchor}>{_convert(node, as_block=True)}{number}</div>\n')
  raise nodes.SkipNode


def setup(app):
  """Registers the renderer that `html_math_renderer = "mathml"` names."""
  app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
  return {"parallel_read_safe": True, "parallel_write_safe": True}
