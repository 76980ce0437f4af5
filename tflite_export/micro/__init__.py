"""TensorFlow Lite Micro: what it lacks, its resolver, a run on this machine."""
