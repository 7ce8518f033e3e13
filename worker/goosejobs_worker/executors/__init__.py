"""Where and how an attempt is executed."""
