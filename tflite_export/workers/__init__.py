"""Programs for subprocesses: `python -m tflite_export.workers.NAME`."""
