"""The networks of the papers, as settings of `CRNN`: what a config's `model` may be.

The texts give the number and size of the layers. Three things they leave open are chosen here: the
convolutions pool over two bins after every second layer (the drums' 72 mel bins become 9, the pianos' 384
become 12, the last layer pooling too); they are padded to keep the length of time, so each of them looks one
frame ahead, while the recurrent layer looks back only; and the layers between the numbers given have them
in equal shares (16 to 64 filters are three layers each of 16, 32 and 64). S appendix B.2 counts six
convolutions, the published code of S nine; here they are nine.

Parameters, with the papers' inputs (spectrogram and first difference): 30,745 for each drum; 376,122 for
each band of ten pitches; 1,521,382 for the 70 pitches; 5,207,864 for `HAWTHORNE` on 229 mel bins.

References:
  L section 6.1 and 7.1; S appendix B.2.
  Hawthorne et al., "Onsets and frames: dual-objective piano transcription", ISMIR 2018: the network of its
  onsets alone, on which S Table 2 compares ORIGINAL, EXTENDED and BOOTSTRAP.
"""

from __future__ import annotations

from typing import Any

_COMMON = {
  "name": "crnn",
  "dtype": "float32",
  "conv_kernel": (3, 4),
  "residual": False,
  "recurrent": "lstm",
  "bidirectional": False,
  "dense_activation": "sigmoid",
}

DRUMS: dict[str, Any] = _COMMON | {
  "conv_features": (8, 16, 16, 16, 16, 16),
  "conv_pool": (1, 2, 1, 2, 1, 2),
  "recurrent_units": 24,
  "dense_units": 16,
  "band_size": 1,  # a network per drum
}

PIANO_COUNTS: dict[str, Any] = _COMMON | {
  "conv_features": (16, 16, 16, 32, 32, 32, 64, 64, 64),
  "conv_pool": (1, 2, 1, 2, 1, 2, 1, 2, 2),
  "recurrent_units": 64,
  "dense_units": 32,
  "band_size": 10,  # a network per ten pitches
}

PIANO_MISALIGNED: dict[str, Any] = _COMMON | {
  "conv_features": (32, 32, 32, 64, 64, 64, 128, 128, 128),
  "conv_pool": (1, 2, 1, 2, 1, 2, 1, 2, 2),
  "recurrent_units": 128,
  "dense_units": (96, 96),
}

HAWTHORNE: dict[str, Any] = {
  "name": "crnn",
  "dtype": "float32",
  "conv_features": (48, 48, 96),
  "conv_kernel": (3, 3),
  "conv_pool": (1, 2, 2),
  "conv_norm": "batch",
  "conv_dropout": 0.25,
  "residual": False,
  "bottleneck_units": 768,
  "bottleneck_dropout": 0.5,
  "recurrent": "lstm",
  "recurrent_units": 128,  # in each direction
}
