"""What the workers of Keras ask of the backend that they run on."""

import importlib.metadata

import keras


def settle() -> None:
    """Waits for what is still being computed: JAX returns before it is."""
    if keras.backend.backend() == "jax":
        import jax

        jax.block_until_ready(jax.live_arrays())


def versions() -> dict[str, str]:
    """The versions of Keras and of the backend."""
    backend = keras.backend.backend()
    return {name: importlib.metadata.version(name) for name in ("keras", _distribution(backend))}


def _distribution(backend: str) -> str:
    if backend != "tensorflow":
        return backend
    installed = importlib.metadata.packages_distributions()["tensorflow"]
    return "tensorflow" if "tensorflow" in installed else installed[0]
