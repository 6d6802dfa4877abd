"""The methods that a cross-validation can train and test."""
