"""A mask as an image."""

from typing import Any

import numpy as np

from keras_prune.masking.mask_image import mask_image
from keras_prune.plots.style import KEPT, axes_or_new, tidy
from keras_prune.selection.layout import Axes
from keras_prune.validation import check_array, check_text


def plot_mask(kept: np.ndarray, ax: Any = None, *, axes: Axes | None = None, title: str = "Mask") -> Any:
    """Draw a mask as a matrix with the inputs as rows and the outputs as columns: what is kept is dark.

    A convolution has all inputs of the first place in its window, then those of the second, and so on. A mask that is
    larger than 256 rows or columns is drawn smaller: each dot is the fraction kept of some entries.

    Args:
        kept: Boolean array of any shape, True = kept: a mask, or `weights != 0`.
        ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
        axes: How the weight is a matrix. Defaults to window, inputs and outputs in this order, as in most layers.
        title: Over the plot. Defaults to "Mask".

    Returns:
        The axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: Something else was passed.

    Example:

    ```python
    kernel = kp.strip_pruning(kp.prune_weights(model, 0.5)).layers[0].kernel
    plot_mask(keras.ops.convert_to_numpy(kernel) != 0)
    ```
    """
    kept, title = check_array(kept, "kept", "b"), check_text(title, "title")
    if axes is not None and not isinstance(axes, Axes):
        raise TypeError(f"`axes` must be `Axes`, of a masked weight. Received: axes={axes!r}")
    view = mask_image(kept, axes)
    ax = axes_or_new(ax, (4.5, 4.0))
    from matplotlib.colors import LinearSegmentedColormap  # here, since only plots need it

    colours = LinearSegmentedColormap.from_list("kept", ["#f3f1ea", KEPT])
    rows, columns = view.matrix
    image = ax.imshow(
        view.pixels, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=(0, columns, rows, 0)
    )
    for place in range(1, view.windows):
        ax.axhline(place * rows / view.windows, color="black", linewidth=0.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    if view.pixels.shape != view.matrix:
        ax.figure.colorbar(image, ax=ax, label="fraction kept")
    inputs = "inputs" if view.windows == 1 else f"inputs, for each of {view.windows} places"
    share = 1 - np.count_nonzero(kept) / max(kept.size, 1)
    tidy(ax, f"{title}: {share:.1%} zero", "outputs", inputs, grid="")
    ax.spines[["top", "right"]].set_visible(True)
    return ax
