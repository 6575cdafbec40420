"""The picture that the matrices of files are made of."""
import numpy as np
from PIL import Image, ImageDraw


def picture(width, height):
    """Gradients, shapes and some noise."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    pixels = np.stack([255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1), 128 + 100 * np.sin((x + y) / 9)], -1)
    drawn = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    pen.ellipse([width * 0.1, height * 0.2, width * 0.55, height * 0.8], fill=(220, 30, 40))
    pen.rectangle([width * 0.5, height * 0.1, width * 0.9, height * 0.5], fill=(20, 60, 230))
    pen.line([0, height, width, 0], fill=(250, 250, 90), width=3)
    noise = np.random.default_rng(7).integers(-12, 13, (height, width, 3))
    return np.clip(np.asarray(drawn).astype(int) + noise, 0, 255).astype(np.uint8)
