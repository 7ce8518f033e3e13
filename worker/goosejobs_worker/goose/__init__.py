"""goose as a program: how it is called, what it prints, and how its run ended. Pure."""
