"""Programs on several devices, whose number is settled when jax starts: in processes of their own."""

import os
import pathlib
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[1]


def run(program: str, num_devices: int) -> None:
  """Runs a program that raises where something is wrong."""
  environment = os.environ | {
    "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
    "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "tests")]),
  }
  command = [sys.executable, "-c", program]
  done = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=600)
  assert done.returncode == 0, done.stderr[-3000:]
