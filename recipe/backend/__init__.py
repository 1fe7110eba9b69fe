"""The only code that speaks HTTP: a client of the platform's backend, and the outbox of progress events."""
