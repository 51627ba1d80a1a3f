"""What `softloc-jax export` does: a trained network as a file that needs nothing of this package."""

from __future__ import annotations

from collections.abc import Sequence
import os
import pathlib

from softloc_jax import deploy, detector, pretrained


def export(
  out: str | os.PathLike,
  *,
  model: str | None = None,
  checkpoint: str | os.PathLike | None = None,
  platforms: Sequence[str] | None = None,
  overwrite: bool = False,
) -> str:
  """Writes a network as a file, of the kind that its name ends with.

  Args:
    out: `.zip` for `deploy.write`, `.onnx` for `deploy.write_onnx`.
    model: a network that comes with the package.
    checkpoint: workdir of a training, instead.
    platforms: what a zip is to run on; None for all of `deploy.PLATFORMS`.
    overwrite: whether an existing file may be replaced.

  Returns:
    What was written, in a line.

  Raises:
    FileNotFoundError, FileExistsError, ImportError, ValueError: naming what is missing, in the way or wrong.
  """
  out = pathlib.Path(out)
  if out.suffix not in (".zip", ".onnx"):
    raise ValueError(f"{out} ends with {out.suffix!r}; expected .zip (for JAX) or .onnx (for ONNX Runtime)")
  if out.suffix == ".onnx" and platforms is not None:
    raise ValueError(f"{out}: expected no platforms, as ONNX Runtime chooses where it runs")
  deploy.check_target(out, overwrite)
  if (model is None) == (checkpoint is None):
    raise ValueError("expected either a model or a checkpoint")
  found = detector.read_workdir(checkpoint) if model is None else pretrained.load(pretrained.folder(model))
  if out.suffix == ".onnx":
    deploy.write_onnx(out, found, overwrite=overwrite)
  else:
    deploy.write(out, found, platforms=platforms or deploy.PLATFORMS, overwrite=overwrite)
  network = found.network
  return (
    f"{out} ({out.stat().st_size / 1e6:.1f} MB): {network.extractor.sample_rate_hz:g} samples per second to"
    f" {network.extractor.frame_rate_hz:g} frames of {', '.join(network.classes)}"
  )
