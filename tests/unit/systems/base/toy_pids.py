"""A data set for loader processes, which import this module: without torch they start at once."""

from __future__ import annotations

import os
import signal

import numpy as np


class PidDataset:
    """Tells in which process its samples were read, and which one started that."""

    def __init__(self, ids, bad=(), deadly=()):
        self.ids = list(ids)
        self.bad = list(bad)
        self.deadly = list(deadly)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        if index in self.bad:
            raise OSError(f"broken file {index}")
        if index in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        pids = f"{os.getpid()} {os.getppid()}"
        speech = np.full(4, index, np.float32)
        return {"utt_id": self.ids[index], "speech": speech, "pid": pids}


class PidOrganizer:
    def __init__(self, test, bad=(), deadly=()):
        self.test = {entry["name"]: PidDataset(entry["ids"], bad, deadly) for entry in test}
