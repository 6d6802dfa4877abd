"""The spatial recurrence of equation (1) and its backward pass, compiled and portable."""
