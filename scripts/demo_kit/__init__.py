"""The demo: real speech and real weights out of packages, and a job that is sent to the real handler."""
