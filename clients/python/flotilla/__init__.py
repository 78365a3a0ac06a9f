"""Flotilla for services in Python. Transactions are in `flotilla.tx`."""
