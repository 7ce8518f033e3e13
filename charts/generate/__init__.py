"""`make generate`: what in the charts follows from elsewhere."""
