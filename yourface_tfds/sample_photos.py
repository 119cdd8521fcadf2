"""Draws photos of people who do not exist, to try the project with.

  python -m yourface_tfds.sample_photos --output_dir=M --people=24 --photos=20

Writes M/people.csv and M/photos/<person>/000.jpg ... The drawing itself is in
`sample_drawing`, the folder in `sample_files`; nothing imports this module,
whose flags other programs have too.
"""

import tqdm
from absl import flags

from yourface_tfds import cli, sample_files

_OUTPUT_DIR = cli.output_dir_flag("people.csv and photos/")
_PEOPLE = flags.DEFINE_integer(
  "people",
  24,
  "How many people to draw; from 22 on there is a man and a woman of every "
  "face type.",
)
_PHOTOS = flags.DEFINE_integer("photos", 20, "How many photos of each person.")
_SEED = flags.DEFINE_integer(
  "seed", 1, "Same seed, same people and photos; 0 or more."
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite",
  False,
  "Replace the drawn people in --output_dir; other files there stay.",
)


def main(argv: list[str]) -> None:
  """Draws, then says what was written and what to do next."""
  cli.no_arguments(argv)
  total = _PEOPLE.value * _PHOTOS.value
  with tqdm.tqdm(
    total=max(total, 0), unit="photo", desc="drawing", leave=False, delay=1
  ) as bar:
    written = sample_files.write_photos(
      _OUTPUT_DIR.value,
      people=_PEOPLE.value,
      photos=_PHOTOS.value,
      seed=_SEED.value,
      overwrite=_OVERWRITE.value,
      progress=bar.update,
    )
  place = _OUTPUT_DIR.value
  print(f"wrote {written} photos of {_PEOPLE.value} people to {place}")
  print(
    f"next: tfds build builders/your_face --manual_dir={place} --data_dir=D"
  )


if __name__ == "__main__":
  cli.run(main)
