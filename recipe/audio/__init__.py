"""Any audio or video file to 16 kHz mono samples; voice, level and log-mel features of samples."""
