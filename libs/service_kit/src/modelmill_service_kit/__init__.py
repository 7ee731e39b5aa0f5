"""What every process needs: settings, errors, telemetry, health, deadlines, drain."""
