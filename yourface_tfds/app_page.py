"""The local page: one Gradio component, and the functions behind it.

  answers = app_answer.Answers(model)
  blocks = app_page.blocks(
    answers, model.heads, app_desk.Settings(), "export/page", style
  )

Photos come as text in a request's body, never as Gradio's uploads, which are
files. They are looked at in memory; the browser keeps the photo for the card.
"""

import html
import json
import logging
import os
import pathlib
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

# Before Gradio is imported, which asks another host for its newest version.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import fastapi
import gradio as gr
import uvicorn
from gradio import themes

from yourface_tfds import (
  app_answer,
  app_desk,
  app_limits,
  app_texts,
  card,
  card_bars,
  cli,
  labels,
  model_card,
  paint,
  web_font,
  web_site,
)

_FONTS = ("NanumGothic", "sans-serif")
_SECONDS_TO_END = 2
_SAID_BY_SCRIPT = ("too_large", "no_answer", "no_camera", "drawing", "download")


def blocks(
  answers: app_answer.Answers,
  heads: Mapping[str, labels.Head],
  settings: app_desk.Settings,
  source: str | os.PathLike[str],
  style: str,
) -> gr.Blocks:
  """Returns the page for Gradio.

  Args:
    answers: what looks at photos.
    heads: the model's vocabularies.
    settings: see there.
    source: the folder with page.html and page.js.
    style: CSS.
  """
  desk = app_desk.Desk(answers, settings)

  def look(asked: Any, request: gr.Request) -> dict[str, Any]:
    return desk.look(asked, _address(request))

  def draw(asked: Any, request: gr.Request) -> dict[str, Any]:
    return desk.card(asked, _address(request))

  template = pathlib.Path(source, "page.html").read_text(encoding="utf-8")
  filled = body(template, heads, settings)
  fonts = web_font.rules_within(_words(filled, heads))
  with gr.Blocks(title="Your Face", analytics_enabled=False) as made:
    gr.HTML(
      # In the body: after Gradio's own rules.
      f"<style>{fonts}{style}</style>{filled}",
      js_on_load=pathlib.Path(source, "page.js").read_text(encoding="utf-8"),
      server_functions=[look, draw],
      apply_default_css=False,
    )
  return made


def _words(filled: str, heads: Mapping[str, labels.Head]) -> str:
  """Returns all Korean that the page may show, but what a model made up."""
  return "".join(
    (
      filled,
      app_texts.korean(),
      labels.SENTENCE_KO,
      card_bars.REST["ko"],
      *(card_bars.title(head, "ko") for head in heads),
      *(word for head in heads.values() for word in head.korean),
    )
  )


def _address(request: gr.Request) -> str:
  return request.client.host if request.client else ""


def head() -> str:
  """Returns what stands in the head of the page, HTML."""
  return (
    f'<link rel="icon" href="{app_answer.animal_uri("fox")}">'
    '<meta name="color-scheme" content="light">'
    f"<style>{_palette()} html, body {{ background: var(--paper) }}</style>"
  )


def _palette() -> str:
  colors = (f"--{name}: {color};" for name, color in paint.PALETTE.items())
  return f":root {{ {' '.join(colors)} }}"


def body(
  template: str, heads: Mapping[str, labels.Head], settings: app_desk.Settings
) -> str:
  """Returns the page before anything was asked, HTML.

  Args:
    template: HTML in which [[name]] stands for a text, or for `facts`, `icon`,
      `drawings` and `uses`.
    heads: the model's vocabularies.
    settings: see there.

  Raises:
    KeyError: there is no such text.
  """
  uses = zip(web_site.OUT_OF_SCOPE_KO, model_card.OUT_OF_SCOPE, strict=True)
  lead = "face_type" if "face_type" in heads else [*heads][-1]
  filled = {
    "facts": html.escape(json.dumps(_facts(settings), ensure_ascii=False)),
    "icon": app_answer.animal_uri("fox"),
    "drawings": "".join(
      f'<img src="{app_answer.animal_uri(name)}" alt="">'
      for name in heads[lead].names
    ),
    "uses": "".join(f"<li>{app_texts.pair(*use)}</li>" for use in uses),
  }
  return re.sub(
    r"\[\[(\w+)\]\]",
    lambda found: filled.get(found[1]) or app_desk.text(found[1], settings),
    template,
  )


def _facts(settings: app_desk.Settings) -> dict[str, Any]:
  """Returns what the script knows."""
  return {
    "language": settings.language,
    "most_bytes": settings.max_bytes,
    "titles": {key: app_texts.plain("title", key) for key in card.LANGUAGES},
    "languages": {
      key: app_texts.plain("language", key) for key in card.LANGUAGES
    },
    "said": {key: app_desk.text(key, settings) for key in _SAID_BY_SCRIPT},
  }


def serve(
  blocks: gr.Blocks,
  head: str,
  listening: socket.socket,
  *,
  max_body: int,
  ready: Callable[[], None],
) -> None:
  """Serves a page until the process is told to end.

  Args:
    blocks: the page.
    head: HTML of its head.
    listening: from `app_place.listen`.
    max_body: bytes that the body of a request may have.
    ready: is called once requests are answered.

  Raises:
    KeyboardInterrupt: Ctrl-C was pressed.
    UserError: Gradio could not start.
  """
  # What goes wrong on the way to somebody's browser is not for the terminal.
  logging.getLogger("uvicorn").setLevel(logging.CRITICAL)

  async def started() -> None:
    ready()

  blocks.extra_startup_events.append(started)
  config = uvicorn.Config(
    app_limits.Gate(_mounted(blocks, head), max_body=max_body),
    log_config=None,
    access_log=False,
    server_header=False,
    # Or whoever sends X-Forwarded-For is a new client each time.
    proxy_headers=False,
    ws="none",
    lifespan="on",
    timeout_graceful_shutdown=_SECONDS_TO_END,
  )
  server = uvicorn.Server(config)
  server.run(sockets=[listening])
  if not server.started:
    raise cli.UserError(
      "Gradio could not start; install the versions of constraints.txt"
    )


def _mounted(blocks: gr.Blocks, head: str) -> fastapi.FastAPI:
  """Returns an application with the page alone.

  Gradio's `launch` would look for a port, and ask itself through proxies.
  """
  return gr.mount_gradio_app(
    fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
    blocks,
    path="/",
    footer_links=[],
    run_history=False,
    show_error=False,
    ssr_mode=False,
    enable_monitoring=False,
    pwa=False,
    mcp_server=False,
    # Plain names: others are fetched from Google.
    theme=themes.Base(font=_FONTS, font_mono=("monospace",)),
    head=head,
  )
