"""Measures what this project promises about speed and size, each beside a yardstick; see README.md."""
