"""The workers of a training on several machines, from TF_CONFIG.

  export TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]},
                     "task": {"type": "worker", "index": 0}}'
  cluster.from_environment().names   # ("worker 0 (a:2222)", ...)

The format is TensorFlow's, see tf.distribute.cluster_resolver. Jobs that only
its parameter servers know are refused.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from yourface_tfds import cli

_JOBS = ("chief", "worker")  # In the order in which TensorFlow counts them.
_LAST_PORT = 65535
_EXAMPLE = (
  '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": '
  '"worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
  """Who takes part, and which of them this process is.

  Attributes:
    tasks: (job, index, host:port) of each; the first one is the chief.
    rank: the place of this process in `tasks`.
  """

  tasks: tuple[tuple[str, int, str], ...]
  rank: int

  @property
  def names(self) -> tuple[str, ...]:
    """What to call each one."""
    return tuple(
      f"{job} {index} ({address})" for job, index, address in self.tasks
    )


def from_environment() -> Cluster:
  """Returns what TF_CONFIG says.

  Raises:
    UserError: it is missing, or not what it shall be.
  """
  text = os.environ.get("TF_CONFIG")
  if not text:
    raise _refusal("nothing")
  try:
    content = json.loads(text)
    jobs, task = content["cluster"], content["task"]
    wrong = set(jobs) - set(_JOBS)
    if wrong:
      raise _refusal(f"the job {min(wrong)!r} in its cluster")
    tasks = tuple(_tasks(jobs))
    mine = [(job, index) for job, index, _ in tasks].index(
      (str(task["type"]), int(task["index"]))
    )
  except json.JSONDecodeError as error:
    raise _refusal(f"{text!r}, which is no JSON ({error.msg})") from error
  except (KeyError, TypeError, AttributeError) as error:
    raise _refusal(f"{text!r}, where a part is missing or wrong") from error
  except ValueError as error:
    if isinstance(error, cli.UserError):
      raise
    raise _refusal(f"the task {task}, which is not in its cluster") from error
  return Cluster(tasks=tasks, rank=mine)


def _tasks(jobs: Mapping[str, Any]) -> list[tuple[str, int, str]]:
  tasks = [
    (job, index, address)
    for job in _JOBS
    for index, address in enumerate(jobs.get(job, ()))
  ]
  for _, _, address in tasks:
    host, _, port = str(address).rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()):
      raise _refusal(f"the address {address!r}, which is not host:port")
    # The length first: int() refuses thousands of digits.
    if len(port) > len(str(_LAST_PORT)) or not 1 <= int(port) <= _LAST_PORT:
      raise _refusal(
        f"the address {str(address)[:80]!r}, whose port is not 1 "
        f"to {_LAST_PORT}"
      )
  return tasks


def _refusal(got: str) -> cli.UserError:
  return cli.UserError(
    f"TF_CONFIG: got {got}, allowed with --strategy=multi_worker: the "
    "addresses of all workers and which of them this is; set it, say, to "
    f"{_EXAMPLE}"
  )
