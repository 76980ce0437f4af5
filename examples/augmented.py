"""Data augmentation: batches of images that are shifted and mirrored at random."""

import keras
import numpy as np


class Augmented(keras.utils.PyDataset):
    """Dataset of images that are shifted and mirrored at random, in a new order each epoch.

    Args:
        x: Images, of shape (samples, height, width, channels). They are padded with zeros.
        y: Labels: a class, or a probability for each class.
        batch_size: Images in a batch.
        seed: Random seed of order, shifts and mirroring.
        shift: Largest shift in each direction, in pixels.
        mirror: Whether half of the images are mirrored, left to right. Defaults to False.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, batch_size: int, seed: int, shift: int, mirror: bool = False):
        super().__init__()
        self._x, self._y, self._size = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0))), y, x.shape[1:3]
        self._batch_size, self._shift, self._mirror = batch_size, shift, mirror
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * self._batch_size :][: self._batch_size]
        windows = np.lib.stride_tricks.sliding_window_view(self._x[chosen], self._size, axis=(1, 2))
        row, column = self._rng.integers(0, 2 * self._shift + 1, (2, len(chosen)))
        images = windows[np.arange(len(chosen)), row, column].transpose(0, 2, 3, 1).astype("float32")
        if self._mirror:
            mirrored = self._rng.random(len(chosen)) < 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        return images, self._y[chosen]

    def on_epoch_end(self) -> None:
        self._order = self._rng.permutation(len(self._x))
