"""Builds the page that answers in the browser, as static files.

python -m export.build_web --export_dir=E --output_dir=SITE

The photo never leaves the browser. After its first load the page works without
a network. LiteRT.js comes by npm, pinned in export/web/package-lock.json.
"""

import pathlib

from absl import flags

from yourface_tfds import cli

# isort: split
# After cli, which keeps TensorFlow's greeting out of the way.
from yourface_tfds import storage, web_site

_EXPORT_DIR = flags.DEFINE_string(
  "export_dir", None, "The folder that export.export_tflite wrote to.",
  required=True,
)  # fmt: skip
_OUTPUT_DIR = cli.output_dir_flag("the site")
_KIND = flags.DEFINE_string(
  "kind",
  "float32",
  "The file that answers: float32, float16 or int8. All answer alike; int8 is "
  "the smallest.",
)
_NODE_MODULES = flags.DEFINE_string(
  "node_modules",
  None,
  "Where npm has installed export/web/package.json. Default: install it now, "
  "for this run only.",
)


def main(argv: list[str]) -> None:
  """Writes SITE."""
  cli.no_arguments(argv)
  site = web_site.build(
    _EXPORT_DIR.value,
    _OUTPUT_DIR.value,
    source=pathlib.Path(__file__).parent / "web",
    kind=_KIND.value,
    node_modules=_NODE_MODULES.value,
  )
  files = storage.files(site)
  size = sum(storage.size(site / name) for name in files)
  print(f"Wrote {site}, {len(files)} files, {size / 1e6:.0f} MB")
  if storage.is_local(site):
    print(f"Next: python -m http.server -d {site}")


if __name__ == "__main__":
  cli.run(main)
