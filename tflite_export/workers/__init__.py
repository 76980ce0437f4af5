"""Programs that run in subprocesses: `python -m tflite_export.workers.NAME`."""
