"""`mode: Job`: goose in a pod of its own, by a Kubernetes Job for each attempt."""
