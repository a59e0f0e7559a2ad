"""What the ``infer`` stage and ``InferenceSession`` share: devices, model construction, records."""
