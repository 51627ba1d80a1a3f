"""What the commands of `softloc-jax` do, callable from Python: one file each."""
