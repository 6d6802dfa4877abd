"""A run's page, tables and figures."""
