"""What `experiments.benchmark` measures: one module for each part of the library."""
