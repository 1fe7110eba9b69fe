"""From a trained model to a released one: staged, reloaded and sealed, then delivered.

staging.py       the model, its processor, settings, card and metadata, as files in one folder
facts.py         what is told about a release
model_card.py    README.md, with the hub's metadata
release.py       the list of files that may go out, with their hashes
verification.py  the folder is reloaded and compared; only then it is sealed
delivery.py      a sealed folder goes to its destination: folder.py, bucket.py, hub.py
"""
