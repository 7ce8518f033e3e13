"""The outside systems that both sides speak to: Kubernetes, Temporal, and the child that reads recipes."""
