"""Plain text as Markdown: escaped, as a list, as a table.

markdown.table([["head", "accuracy"], ["gender", ".957"]])
"""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\`*\[\]<>|&#~]|(?<![^\W_])_|_(?![^\W_])")


def escaped(plain: str) -> str:
  """Returns text that Markdown shows as it is, in a table cell too."""
  return _SPECIAL.sub(r"\\\g<0>", " ".join(plain.split()))


def bullets(lines: Iterable[str]) -> str:
  """Returns a list of plain texts."""
  return "\n".join(f"* {escaped(line)}" for line in lines)


def table(rows: Sequence[Sequence[str]]) -> str:
  """Returns a table of plain texts; the first row are the headings."""
  lines = ["| " + " | ".join(map(escaped, row)) + " |" for row in rows]
  lines.insert(1, "|" + "---|" * len(rows[0]))
  return "\n".join(lines)
