"""This recipe against jumon/whisper-finetuning, run as it is."""
