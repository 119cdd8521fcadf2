"""Korean letters for pages, where the system of the reader has none.

  web_font.woff("얼굴 강아지", bold=True)    # bytes of a WOFF font, some kB
  web_font.rules(["font/a.woff", "font/b.woff"])     # CSS: "Your Face"
  web_font.rules_within("얼굴 강아지")                # with the fonts in it

The letters are NanumGothic's (SIL Open Font License 1.1), of which the few that
a text has are kept: a font with all of them is larger than the model.
"""

import base64
import io
from collections.abc import Sequence

from fontTools import subset, ttLib

from yourface_tfds import lettering

FAMILY = "Your Face"
"""What the rules call it. The license keeps the name Nanum for the whole."""

NOTICE = """\
The .woff files here hold some letters of NanumGothic.
{copyright}
They are under the SIL Open Font License, Version 1.1, which is also at
https://openfontlicense.org
"""
"""What stands beside the files; `notice` fills in the copyright."""

_WEIGHTS = (400, 700)
# Jamo, compatibility jamo, syllables: other letters stay the system's.
_RANGES = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7A3))
_OWN_NAME = (1, 3, 4, 6)
_KEPT_NAMES = (*range(10), 13, 14)


def letters(text: str) -> str:
  """Returns the Korean letters of a text, each once and in order."""
  return "".join(
    letter
    for letter in sorted(set(text))
    if any(first <= ord(letter) <= last for first, last in _RANGES)
  )


def woff(text: str, *, bold: bool = False) -> bytes:
  """Returns a WOFF font with the Korean letters of a text.

  The same text gives the same bytes.

  Args:
    text: any text; what is not Korean is left out.
    bold: the bold letters.

  Raises:
    FileNotFoundError: the font's package is not installed.
  """
  options = subset.Options(
    flavor="woff",
    hinting=False,
    legacy_kern=False,
    layout_features=[],
    name_IDs=list(_KEPT_NAMES),
    notdef_outline=True,
    # What the font's makers kept for their own tools.
    drop_tables=[f"TSI{i}" for i in (0, 1, 2, 3, 5)],
  )
  with _whole(bold=bold) as font:
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=letters(text))
    subsetter.subset(font)
    names = font["name"]
    for record in list(names.names):
      if record.nameID in _OWN_NAME:
        place = record.platformID, record.platEncID, record.langID
        names.setName(FAMILY, record.nameID, *place)
    font.flavor = "woff"
    out = io.BytesIO()
    font.save(out, reorderTables=None)
  return out.getvalue()


def notice() -> str:
  """Returns what the license wants beside the files."""
  with _whole(bold=False) as font:
    return NOTICE.format(copyright=font["name"].getDebugName(0))


def rules(addresses: Sequence[str]) -> str:
  """Returns the CSS that makes a font of the two files.

  Args:
    addresses: of the regular and the bold font.
  """
  covered = ", ".join(f"U+{first:X}-{last:X}" for first, last in _RANGES)
  return "".join(
    f'@font-face {{\n  font-family: "{FAMILY}";\n  font-weight: {weight};\n'
    f'  font-display: swap;\n  src: url("{address}") format("woff");\n'
    f"  unicode-range: {covered};\n}}\n"
    for weight, address in zip(_WEIGHTS, addresses, strict=True)
  )


def rules_within(text: str) -> str:
  """Returns `rules` with the fonts for a text in themselves."""
  return rules(
    [
      "data:font/woff;base64,"
      + base64.b64encode(woff(text, bold=bold)).decode("ascii")
      for bold in (False, True)
    ]
  )


def _whole(*, bold: bool) -> ttLib.TTFont:
  path = lettering.font(12, bold=bold).path
  return ttLib.TTFont(str(path), recalcTimestamp=False)
