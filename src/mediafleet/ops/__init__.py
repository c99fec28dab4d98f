"""What every part needs to run well: configuration, logs, metrics, credentials."""
