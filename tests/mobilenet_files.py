"""Weights of MobileNetV2 as files of torch name them."""

from flax import nnx
import numpy as np

from softloc_jax.models.mobilenet import NUM_STAGES, MobileNetV2

WIDTH = 0.35


def parts_of(stage):
  """Parts of a stage in the order of files, each with a name; a convolution alone has none."""
  if 0 < stage < NUM_STAGES - 1:
    return ("expand", "depthwise", "project") if stage > 1 else ("depthwise", "project")
  return ("",)


def random_arrays():
  """Random values for every array of an encoder, by its path."""
  encoder = nnx.eval_shape(lambda: MobileNetV2(width=WIDTH, rngs=nnx.Rngs(0)))
  state = nnx.state(encoder, nnx.Any(nnx.Param, nnx.BatchStat))
  rng = np.random.default_rng(0)
  return {
    path: np.abs(rng.normal(1, 0.1, leaf.shape)).astype(np.float32) for path, leaf in nnx.to_flat_state(state)
  }


def path_to(stage, part):
  return ("stages", stage, part) if part else ("stages", stage)


def torch_names(arrays, nested):
  """Arrays as torch's files name them: SwingNet's authors' flat blocks, or torchvision's nested ones."""
  norm = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
  found = {}
  for stage in range(NUM_STAGES):
    parts = parts_of(stage)
    for number, part in enumerate(parts):
      if not part:
        conv, after = f"features.{stage}.0", f"features.{stage}.1"
      elif nested and part != "project":
        conv, after = (f"features.{stage}.conv.{number}.{n}" for n in (0, 1))
      elif nested:
        conv, after = (f"features.{stage}.conv.{number + n}" for n in (0, 1))
      else:
        conv, after = (f"features.{stage}.conv.{3 * number + n}" for n in (0, 1))
      found[f"{conv}.weight"] = arrays[(*path_to(stage, part), "conv", "kernel")].transpose(3, 2, 0, 1)
      for theirs, ours in norm.items():
        found[f"{after}.{theirs}"] = arrays[(*path_to(stage, part), "norm", ours)]
  return found
