"""The networks of the comparison, in PyTorch and in Keras.

`unet(spec)` is the 3D U-Net as the presets of unet3d describe it; `keras_blog()` is the
model of the 2018 review, rebuilt from its description. `peers.py` checks that both have
as many parameters as ours.
"""

PAPER = ([(32, 64), (64, 128), (128, 256), (256, 512)], [(512, 256, 256), (256, 128, 128), (128, 64, 64)])
SMALL = ([(16, 16), (32, 32), (64, 64)], [(32, 32, 32), (16, 16, 16)])

# name: (down and up channels, kernel and pooling of each level, padding, normalisation)
SPECS = {
    "common": (PAPER, [((3, 3, 3), (2, 2, 2))] * 4, "valid", "batch"),
    "twin2d": (PAPER, [((1, 3, 3), (1, 2, 2))] * 4, "valid", "batch"),
    "flat": (PAPER, [((1, 3, 3), (1, 2, 2))] * 2 + [((3, 3, 3), (2, 2, 2))] * 2, "valid", "batch"),
    "small": (SMALL, [((3, 3, 3), (2, 2, 2))] * 3, "same", "instance"),
}


def unet(spec, in_channels=3, classes=3):
    """A `torch.nn.Module`; input `n c d h w`, output logits."""
    import torch
    from torch import nn

    (down, up), levels, padding, normalisation = SPECS[spec]
    norm = {"batch": nn.BatchNorm3d, "instance": lambda c: nn.InstanceNorm3d(c, affine=True)}[normalisation]

    def convolutions(channels, kernel):
        layers = []
        for i, o in zip(channels, channels[1:]):
            pad = tuple(k // 2 for k in kernel) if padding == "same" else 0
            layers += [nn.Conv3d(i, o, kernel, padding=pad), norm(o), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.pool, self.lift, self.up = (nn.ModuleList() for _ in range(4))
            c = in_channels
            for channels, (kernel, pool) in zip(down, levels):
                self.down.append(convolutions([c, *channels], kernel))
                self.pool.append(nn.MaxPool3d(pool))
                c = channels[-1]
            for (lifted, *channels), level in zip(up, range(len(up) - 1, -1, -1)):
                kernel, pool = levels[level]
                self.lift.append(nn.ConvTranspose3d(c, lifted, pool, stride=pool))
                self.up.append(convolutions([lifted + down[level][-1], *channels], kernel))
                c = channels[-1]
            self.score = nn.Conv3d(c, classes, 1)

        def forward(self, x):
            skips = []
            for block, pool in zip(self.down[:-1], self.pool):
                x = block(x)
                skips.append(x)
                x = pool(x)
            x = self.down[-1](x)
            for lift, block in zip(self.lift, self.up):
                x, skip = lift(x), skips.pop()
                crop = [(s - o) // 2 for s, o in zip(skip.shape[2:], x.shape[2:])]
                skip = skip[(..., *(slice(c, c + o) for c, o in zip(crop, x.shape[2:])))]
                x = block(torch.cat([x, skip], 1))
            return self.score(x)

    return UNet()


def keras_blog(shape, classes=3):
    """The review's model: `shape` is `(d, h, w, c)`, the output linear."""
    import keras
    from keras import layers

    def conv(x, filters):
        x = layers.Conv3D(filters, 3, padding="valid")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        return layers.Dropout(0.3)(x)

    inputs = keras.Input(shape)
    x, skips = inputs, []
    for a, b in [(32, 32), (64, 64), (128, 128)]:
        x = conv(conv(x, a), b)
        skips.append(x)
        x = layers.MaxPooling3D(2)(x)
    x = conv(conv(x, 256), 128)
    for a, b, c in [(128, 128, 64), (64, 64, 32), (32, 32, 32)]:
        x = layers.Conv3DTranspose(a, 2, strides=2, padding="valid")(x)
        skip = skips.pop()
        crop = [(s - o) // 2 for s, o in zip(skip.shape[1:4], x.shape[1:4])]
        x = layers.Concatenate(axis=4)([x, layers.Cropping3D(tuple(crop))(skip)])
        x = conv(conv(x, b), c)
    return keras.Model(inputs, layers.Conv3D(classes, 1, padding="same")(x))
