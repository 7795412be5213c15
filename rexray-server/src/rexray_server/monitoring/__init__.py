"""What operators' tools ask the daemon: metrics, whether it lives and is ready, and traces.

Off unless the settings say an address or a collector, and then nothing of Prometheus or OpenTelemetry is imported.
"""
