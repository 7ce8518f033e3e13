"""The operator: each GooseJob becomes a schedule in Temporal, and its status tells whether it is served."""
