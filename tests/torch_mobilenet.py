"""MobileNetV2 in torch, written from the paper's table, to compare with."""

_TABLE = (
  *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
  *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def make(width):
  """The network; its stages are `features[0]` to `features[18]`."""
  from torch import nn  # which tests do without where it is not installed

  def _layer(inputs, outputs, kernel, stride=1, groups=1, bounded=True):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), *([nn.ReLU6()] if bounded else [])]

  class _Block(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
      super().__init__()
      wide = inputs * expansion
      widen = _layer(inputs, wide, 1) if expansion > 1 else []
      self.conv = nn.Sequential(
        *widen, *_layer(wide, wide, 3, stride, groups=wide), *_layer(wide, outputs, 1, bounded=False)
      )
      self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
      return x + self.conv(x) if self.adds else self.conv(x)

  class TorchMobileNet(nn.Module):
    def __init__(self, width):
      super().__init__()
      channels = 32
      stages = [nn.Sequential(*_layer(3, channels, 3, 2))]
      for expansion, filters, number, stride in _TABLE:
        for block in range(number):
          outputs = max(int(filters * width), 16)
          stages.append(_Block(channels, outputs, stride if block == 0 else 1, expansion))
          channels = outputs
      stages.append(nn.Sequential(*_layer(channels, 1280, 1)))
      self.features = nn.Sequential(*stages)

  return TorchMobileNet(width)
