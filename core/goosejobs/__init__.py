"""What the operator and the workers share: the GooseJob's model, cron, recipes and the two clients."""
