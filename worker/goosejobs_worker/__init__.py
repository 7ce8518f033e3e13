"""A worker of a pool: takes runs from Temporal, runs goose, writes down how it went."""
