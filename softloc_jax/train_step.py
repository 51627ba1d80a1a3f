"""The training step: features, augmentation, model, loss and update as one compiled program.

Seeds are trained together: parameters and batches have a leading replica axis `R`, over which
the step is mapped; a single training is one replica. The batch is split over the devices of a mesh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
from jax import Array
import jax.numpy as jnp
from jax.sharding import Mesh
import optax

from softloc_jax import augment, data_parallel, objective
from softloc_jax.network import Network, Variables


@flax.struct.dataclass
class TrainState:
  """What training changes; leaves of `variables` and `opt_state` have a leading replica axis."""

  step: Array
  variables: Variables
  opt_state: Any


def make_optimizer(config: Any, num_steps: int) -> optax.GradientTransformation:
  """Adam with gradient clipping; warm-up, then constant or cosine decay to zero.

  Raises:
    ValueError: an unknown schedule.
  """
  if config.schedule == "cosine":
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps, num_steps)
  elif config.schedule == "constant":
    rate, warmup_steps = config.learning_rate, config.warmup_steps
    schedule = optax.linear_schedule(0.0 if warmup_steps else rate, rate, max(warmup_steps, 1))
  else:
    raise ValueError(f"optimizer.schedule is {config.schedule!r}; expected 'cosine' or 'constant'")
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm), optax.adamw(schedule, weight_decay=config.weight_decay)
  )


def init_state(
  network: Network, optimizer: optax.GradientTransformation, seeds: Sequence[int], mesh: Mesh
) -> TrainState:
  """One replica per seed, copied to every device of the mesh."""
  # Compiled as one program: one operation at a time, they would each be compiled by themselves.
  variables = jax.jit(jax.vmap(network.init))(jnp.stack([jax.random.key(seed) for seed in seeds]))
  opt_state = jax.vmap(optimizer.init)(variables.params)
  state = TrainState(step=jnp.zeros((), jnp.int32), variables=variables, opt_state=opt_state)
  return jax.device_put(state, data_parallel.everywhere(mesh))


def make_train_step(
  network: Network,
  loss_fn: objective.Objective,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  *,
  seeds: Sequence[int],
  augmentation: augment.Augmentation | None = None,
):
  """The jitted, donating update: `(state, batch [R, B, ...]) -> (state, {"loss": [R], "grad_norm": [R]})`.

  Augmentation and dropout of a step follow from the replica's seed and the number of the step.
  """
  keys = jnp.stack([jax.random.key(seed) for seed in seeds])

  def loss_of(params, stats, batch, step, key):
    logits, stats = network.apply_in_training(Variables(params, stats), batch["signal"], key)
    per_class = data_parallel.on_shares(loss_fn, logits, batch, shared=[step])
    return objective.mean_over_labelled(per_class, batch["labelled"]), stats

  def update(variables, opt_state, batch, key, step):
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, step))
    if augmentation is not None:
      batch = augmentation(augment_key, batch)
    (loss, stats), grads = jax.value_and_grad(loss_of, has_aux=True)(
      variables.params, variables.stats, batch, step, dropout_key
    )
    updates, opt_state = optimizer.update(grads, opt_state, variables.params)
    variables = Variables(optax.apply_updates(variables.params, updates), stats)
    return variables, opt_state, {"loss": loss, "grad_norm": optax.tree.norm(grads)}

  def train_step(state: TrainState, batch: Mapping[str, Array]):
    with data_parallel.batches_on(mesh):
      variables, opt_state, scalars = jax.vmap(update, in_axes=(0, 0, 0, 0, None))(
        state.variables, state.opt_state, batch, keys, state.step
      )
    return TrainState(state.step + 1, variables, opt_state), scalars

  copied, split = data_parallel.everywhere(mesh), data_parallel.split(mesh, axis=1)
  return jax.jit(train_step, in_shardings=(copied, split), out_shardings=copied, donate_argnums=0)
