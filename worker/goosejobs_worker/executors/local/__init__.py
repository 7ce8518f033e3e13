"""goose as a process of this machine, under a supervisor of its own."""
