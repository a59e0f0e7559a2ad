"""Where work runs: providers equip a process, runners map work over indices."""
