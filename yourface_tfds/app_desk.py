"""Where the local page's questions come in: limits, answers, errors in words.

  desk = app_desk.Desk(app_answer.Answers(model), app_desk.Settings())
  shown = desk.look({"photo": base64_text}, "127.0.0.1")
  shown.get("error")    # HTML, or None

Nothing is believed of what is asked: everybody can send anything.
"""

import base64
import binascii
import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any

from yourface_tfds import app_answer, app_limits, app_texts, photos

CARDS_A_PHOTO = 4
"""Cards that may be drawn for each photo of `Settings.photos_per_minute`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What can be chosen about the page.

  Attributes:
    language: "ko" or "en", of a page that nobody has changed.
    max_megabytes: of a photo's file.
    photos_per_minute: of one client's address.
  """

  language: str = "ko"
  max_megabytes: int = 20
  photos_per_minute: int = 30

  @property
  def max_bytes(self) -> int:
    """Bytes that a photo's file may have."""
    return self.max_megabytes * 1_000_000

  @property
  def max_body(self) -> int:
    """Bytes that a request may have: base64, and what stands around it."""
    return self.max_bytes * 4 // 3 + 10_000


class Desk:
  """Takes what the page asks and answers it, errors as sentences."""

  def __init__(self, answers: app_answer.Answers, settings: Settings) -> None:
    """Starts with nobody having asked."""
    self._answers, self._settings = answers, settings
    most = settings.photos_per_minute
    self._photos = app_limits.Rate(most)
    self._cards = app_limits.Rate(CARDS_A_PHOTO * most)

  def look(self, asked: Any, client: str) -> dict[str, Any]:
    """Answers for a photo.

    Args:
      asked: {"photo": its bytes in base64}, from anybody.
      client: its address.

    Returns:
      As `app_answer.Answers.look`, or `error`: HTML.
    """
    return self._guarded(self._photos, asked, client, self._answers.look)

  def card(self, asked: Any, client: str) -> dict[str, Any]:
    """Draws a card.

    Args:
      asked: {"photo": its bytes in base64, "face": number from 0, "language":
        "ko" or "en"}, from anybody.
      client: its address.

    Returns:
      `card`, the address of an image, or `error`: HTML.
    """

    def draw(content: bytes) -> dict[str, Any]:
      png = self._answers.card(content, int(asked["face"]), asked["language"])
      encoded = base64.b64encode(png).decode("ascii")
      return {"card": f"data:image/png;base64,{encoded}"}

    return self._guarded(self._cards, asked, client, draw)

  def _guarded(
    self,
    rate: app_limits.Rate,
    asked: Any,
    client: str,
    answer: Callable[[bytes], dict[str, Any]],
  ) -> dict[str, Any]:
    wait = rate.take(client)
    if wait:
      return self._error("too_many", seconds=math.ceil(wait))
    try:
      content = base64.b64decode(asked["photo"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
      return self._error("failed")
    if len(content) > self._settings.max_bytes:
      return self._error("too_large")
    try:
      return answer(content)
    except photos.RejectedError as error:
      return self._error(error.status)
    except Exception as error:
      # Its words could tell something of the photo; a page has to go on.
      print(f"A photo failed: {type(error).__name__}", file=sys.stderr)
      return self._error("failed")

  def _error(self, key: str, **values: object) -> dict[str, Any]:
    known = key if key in app_texts.ERRORS else "failed"
    return {"error": text(known, self._settings, **values)}


def text(key: str, settings: Settings, **values: object) -> str:
  """Returns a text in both languages, with the limits filled in."""
  limits = {"bytes": settings.max_megabytes, "pixels": app_texts.MEGAPIXELS}
  return app_texts.both(key, **{**limits, **values})
