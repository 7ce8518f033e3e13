"""The whole platform on one machine: Kubernetes, Temporal, operator and worker as local processes."""
