"""Federated learning across boards, on Flower: every worker trains on its own device, and only weights travel."""
