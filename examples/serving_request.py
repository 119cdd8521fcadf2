"""Asks TensorFlow Serving about photos, with nothing but Python.

python serving_request.py a.jpg b.jpg > request.json
python serving_request.py a.jpg b.jpg --url http://localhost:8501

The first prints the request, the second sends it and prints the sentences.
"""

import argparse
import base64
import json
import pathlib
import sys
from typing import Any
from urllib import error, request


def request_for(photos: list[bytes]) -> dict[str, Any]:
  """Returns the request for the signature `photos`, one row for each."""
  rows = [{"b64": base64.b64encode(photo).decode()} for photo in photos]
  return {"signature_name": "photos", "instances": rows}


def send(url: str, body: bytes) -> list[dict[str, Any]]:
  """Returns what the server says to each row; exits where it does not."""
  url = f"{url.rstrip('/')}/v1/models/your_face:predict"
  try:
    with request.urlopen(url, body) as response:
      return json.load(response)["predictions"]
  except error.HTTPError as refusal:
    sys.exit(f"error: {url}: {refusal.code}: {refusal.read().decode()}")
  except error.URLError as failure:
    sys.exit(f"error: {url}: {failure.reason}")


def main() -> int:
  """Prints the request or the answers; returns 1 if a photo has none."""
  parser = argparse.ArgumentParser(description=main.__doc__)
  parser.add_argument("photos", nargs="+", type=pathlib.Path)
  parser.add_argument("--url", help="of the server; without, nothing is sent")
  given = parser.parse_args()
  try:
    contents = [path.read_bytes() for path in given.photos]
  except OSError as failure:
    parser.error(str(failure))
  body = json.dumps(request_for(contents))
  if not given.url:
    print(body)
    return 0
  answers = send(given.url, body.encode())
  for photo, answer in zip(given.photos, answers, strict=True):
    print(f"{photo}:", answer["sentence_ko"] or f"error: {answer['error']}")
    if answer["found"]:
      print(f"  {answer['sentence_en']}")
  return int(not all(answer["found"] for answer in answers))


if __name__ == "__main__":
  sys.exit(main())
